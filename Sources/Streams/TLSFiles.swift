internal import NIOSSL

/// Where an end's TLS comes from, as paths of PEM files. TLS 1.3 alone is spoken.
public struct TLSFiles: Equatable, Sendable {
    /// Whose certificates are good; nil: at the director those of the system's CAs, at the agent no certificate is asked
    /// for.
    public var authority: String?
    /// What this end shows, its chain behind it, with its key; nil: nothing.
    public var certificate: String?
    public var key: String?

    public init(authority: String? = nil, certificate: String? = nil, key: String? = nil) {
        self.authority = authority
        self.certificate = certificate
        self.key = key
    }

    /// A file that cannot serve.
    public struct Failure: Error, CustomStringConvertible {
        public enum Part: Sendable { case authority, certificate, key }
        /// Whose path it is.
        public let part: Part
        public let description: String

        public var remedy: String {
            switch part {
            case .authority: "name a file with the certificates of the CAs that are trusted, in PEM"
            case .certificate: "name a file with the certificate and those between it and its CA, in PEM"
            case .key: "name the certificate's own private key, in PEM, readable for this user, without a password"
            }
        }
    }

    /// What is wrong with the files; nil when they can be used.
    public func check() -> Failure? {
        do throws(Failure) { _ = try parts() } catch { return error }
        return nil
    }

    private func parts() throws(Failure) -> (
        roots: NIOSSLTrustRoots?, chain: [NIOSSLCertificate], key: NIOSSLPrivateKey?
    ) {
        var roots: NIOSSLTrustRoots?
        if let authority {
            roots = .certificates(try Self.certificates(authority, .authority))
        }
        guard let certificate, let key else { return (roots, [], nil) }
        let chain = try Self.certificates(certificate, .certificate)
        let secret: NIOSSLPrivateKey
        do { secret = try NIOSSLPrivateKey(file: key, format: .pem) } catch {
            throw Failure(part: .key, description: "\(key) holds no private key that can be read (PEM, not encrypted)")
        }
        do {
            var probe = TLSConfiguration.makeServerConfiguration(
                certificateChain: chain.map { .certificate($0) }, privateKey: .privateKey(secret))
            probe.minimumTLSVersion = .tlsv13
            _ = try NIOSSLContext(configuration: probe)
        } catch {
            throw Failure(part: .key, description: "\(key) is not the key of \(certificate)")
        }
        return (roots, chain, secret)
    }

    private static func certificates(_ path: String, _ part: Failure.Part) throws(Failure) -> [NIOSSLCertificate] {
        let found: [NIOSSLCertificate]
        do { found = try NIOSSLCertificate.fromPEMFile(path) } catch {
            throw Failure(part: part, description: "\(path) holds no certificate that can be read (PEM)")
        }
        if found.isEmpty { throw Failure(part: part, description: "\(path) holds no certificate") }
        return found
    }

    /// For the end that connects.
    func clientContext() throws -> NIOSSLContext {
        let parts = try parts()
        var configuration = TLSConfiguration.makeClientConfiguration()
        configuration.minimumTLSVersion = .tlsv13
        configuration.certificateVerification = .fullVerification
        if let roots = parts.roots { configuration.trustRoots = roots }
        configuration.certificateChain = parts.chain.map { .certificate($0) }
        configuration.privateKey = parts.key.map { .privateKey($0) }
        return try NIOSSLContext(configuration: configuration)
    }

    /// For the end that listens.
    fileprivate func serverContext() throws -> NIOSSLContext {
        let parts = try parts()
        guard let key = parts.key else {
            throw Failure(part: .certificate, description: "there is no certificate to show")
        }
        var configuration = TLSConfiguration.makeServerConfiguration(
            certificateChain: parts.chain.map { .certificate($0) }, privateKey: .privateKey(key))
        configuration.minimumTLSVersion = .tlsv13
        if let roots = parts.roots {
            configuration.trustRoots = roots
            configuration.certificateVerification = .noHostnameVerification
        }
        return try NIOSSLContext(configuration: configuration)
    }
}

/// What a listener shows to those who connect, read from its files.
public struct ServerIdentity: Sendable {
    let context: NIOSSLContext

    public init(_ files: TLSFiles) throws { context = try files.serverContext() }
}
