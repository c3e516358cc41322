import Adoption
import Foundation
import Streams
import Testing
import Wire

/// Who proves to be whom, with certificates that openssl makes.
@Suite(.timeLimit(.minutes(1))) struct TLSTests {
    private static let authority = Result { try CertificateAuthority() }
    private static let stranger = Result { try CertificateAuthority() }

    /// What the dialler hears first.
    private func meet(_ ends: Ends, _ files: TLSFiles, serverName: String? = nil) -> StreamEvent? {
        ends.dialler.connect(StreamPeer(ends.endpoint, security: .init(files: files, serverName: serverName)))
        return ends.awaitDialler { _ in true }
    }

    private func refusal(_ event: StreamEvent?) -> String? {
        switch event {
        case .failed(_, let end, _), .closed(_, let end, _): end.reason == .refusedTLS ? end.detail : nil
        case .opened, .frame, nil: nil
        }
    }

    @Test(arguments: ["p1.example.org", nil]) func aGoodCertificateOpens(_ name: String?) throws {
        let authority = try Self.authority.get()
        let ends = try Ends(identity: ServerIdentity(authority.files("DNS:p1.example.org,IP:127.0.0.1")))
        defer { ends.shutDown() }
        let event = meet(ends, TLSFiles(authority: authority.certificate), serverName: name)
        guard case .opened? = event else {
            Issue.record("\(String(describing: event))")
            return
        }
        var frame = [UInt8](repeating: 7, count: 1_000)
        frame.replaceSubrange(0..<6, with: [0x14, 5, 0, 0, 3, 0xE8])
        #expect(ends.dialler.send(frame, to: ends.endpoint) == .sent)
        #expect(ends.framesAtListener(1).frames == [frame])
    }

    @Test func anotherCAIsRefused() throws {
        let ends = try Ends(identity: ServerIdentity(Self.stranger.get().files("IP:127.0.0.1")))
        defer { ends.shutDown() }
        let event = meet(ends, TLSFiles(authority: try Self.authority.get().certificate))
        #expect(refusal(event) == "the peer's certificate is not from the CA that is trusted here", "\(event as Any)")
    }

    @Test(arguments: ["p2.example.org", nil]) func anotherNameIsRefused(_ name: String?) throws {
        let authority = try Self.authority.get()
        let ends = try Ends(identity: ServerIdentity(authority.files("DNS:p1.example.org,IP:127.0.0.2")))
        defer { ends.shutDown() }
        let event = meet(ends, TLSFiles(authority: authority.certificate), serverName: name)
        #expect(refusal(event) == "the peer's certificate is for another name or address", "\(event as Any)")
    }

    @Test func whoWantsACertificateGetsOneOrRefuses() throws {
        let authority = try Self.authority.get()
        var server = try authority.files("IP:127.0.0.1")
        server.authority = authority.certificate
        for (isShown, isGood) in [(true, true), (false, false)] {
            let ends = try Ends(identity: ServerIdentity(server))
            defer { ends.shutDown() }
            var client = isShown ? try authority.files("DNS:director") : TLSFiles()
            client.authority = authority.certificate
            ends.dialler.connect(StreamPeer(ends.endpoint, security: .init(files: client)))
            // TLS 1.3: the client is done before the server has looked.
            let event = ends.awaitListener { event in
                switch event {
                case .opened: isGood
                case .failed(_, let end, _): end.reason == .refusedTLS && !isGood
                case .frame, .closed: false
                }
            }
            #expect(event != nil)
        }
    }

    @Test func filesThatCannotServeAreTold() throws {
        let authority = try Self.authority.get()
        let (one, other) = (try authority.files("DNS:a"), try authority.files("DNS:b"))
        #expect(one.check() == nil)
        let wrong = TLSFiles(certificate: one.certificate, key: other.key).check()
        #expect(wrong?.part == .key && wrong?.description.contains("is not the key of") == true)
        #expect(TLSFiles(authority: "/nowhere.pem").check()?.part == .authority)
        #expect(TLSFiles(certificate: one.key, key: one.key).check()?.part == .certificate)
        #expect(TLSFiles(certificate: one.certificate, key: one.certificate).check()?.part == .key)
    }
}
