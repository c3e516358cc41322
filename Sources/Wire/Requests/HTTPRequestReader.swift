/// The head of an HTTP/1 request, read so strictly that no two servers can read it differently (RFC 9112 with all its
/// "MAY be lenient" declined). Request line here, fields in `HTTPRequestReader+Fields.swift`.
struct HTTPRequestReader {
    /// Longer heads are the origin's, whatever the caller's own bound is.
    static var maximumHeadLength: Int { 65_536 }
    /// Longest method that is read, in bytes; the longest registered one has 17 (`UPDATEREDIRECTREF`).
    static var maximumMethodLength: Int { 24 }

    let bytes: UnsafeRawBufferPointer
    let wanted: Application
    /// The next byte to read.
    var position = 0

    var isGetOrHead = false
    var isVersion11 = false
    var path = ByteRange()
    /// Absolute form's authority with its port; empty in origin form.
    var authority = ByteRange()
    /// Host with its port.
    var hostAndPort = ByteRange()
    var host = ByteRange()
    var hasHost = false
    var hasContentLength = false
    var hasTransferEncoding = false
    var hasCredentials = false

    init(_ bytes: UnsafeRawBufferPointer, wanted: Application) {
        self.bytes = bytes
        self.wanted = wanted
    }

    mutating func read() -> Recognition {
        switch readRequestLine() {
        case .done: break
        case .incomplete: return incompleteUnlessTooLong
        case .unsuitable(let reason): return .unsuitable(reason)
        }
        while true {
            switch readLineStart() {
            case .field: break
            case .endOfHead: return finish()
            case .incomplete: return incompleteUnlessTooLong
            case .unsuitable(let reason): return .unsuitable(reason)
            }
            switch readField() {
            case .done: break
            case .incomplete: return incompleteUnlessTooLong
            case .unsuitable(let reason): return .unsuitable(reason)
            }
        }
    }

    private var incompleteUnlessTooLong: Recognition {
        bytes.count < Self.maximumHeadLength ? .incomplete : .unsuitable(.tooLong)
    }

    /// The empty line was read: what can only be judged now.
    private func finish() -> Recognition {
        guard position <= Self.maximumHeadLength else { return .unsuitable(.tooLong) }
        // RFC 9112 section 3.2 asks for Host in 1.1; without it a 1.0 request names no site either.
        guard hasHost else { return .unsuitable(.hostMissing) }
        if hasContentLength && hasTransferEncoding { return .unsuitable(.framedBody) }
        if !authority.isEmpty && !authorityAgreesWithHost { return .unsuitable(.authorityMismatch) }
        return .request(
            RecognisedRequest(
                application: isGetOrHead ? .httpGet : .httpOther, headLength: position, host: host, path: path,
                hasCredentials: hasCredentials))
    }

    // MARK: request line

    /// `method SP request-target SP HTTP-version CRLF`, RFC 9112 section 3, with exactly these spaces.
    private mutating func readRequestLine() -> ReadStep {
        let method = readMethod()
        guard method == .done else { return method }
        let target = readTarget()
        guard target == .done else { return target }
        return readVersion()
    }

    private mutating func readMethod() -> ReadStep {
        if !wanted.contains(.httpOther) { return readGetOrHead() }
        while position < bytes.count, bytes[position].isUppercaseLetter || bytes[position] == 0x2D {
            position &+= 1
            if position > Self.maximumMethodLength { return .unsuitable(.unknownProtocol) }
        }
        guard position < bytes.count else { return .incomplete }
        guard position > 0, bytes[position] == .space else { return .unsuitable(.unknownProtocol) }
        isGetOrHead = isMethod("GET ") || isMethod("HEAD ")
        if isGetOrHead && !wanted.contains(.httpGet) { return .unsuitable(.unknownProtocol) }
        if let reason = reservedMethod { return .unsuitable(reason) }
        position &+= 1
        return .done
    }

    /// Only `GET ` and `HEAD ` will do, so any other byte decides at once.
    private mutating func readGetOrHead() -> ReadStep {
        let get = bytes.agreement(with: "GET ", at: 0)
        let head = bytes.agreement(with: "HEAD ", at: 0)
        isGetOrHead = true
        if get == 4 || head == 5 {
            position = get == 4 ? 4 : 5
            return .done
        }
        if get == bytes.count || head == bytes.count { return .incomplete }
        return .unsuitable(reservedMethod ?? .unknownProtocol)
    }

    private func isMethod(_ methodAndSpace: StaticString) -> Bool {
        bytes.agreement(with: methodAndSpace, at: 0) == methodAndSpace.utf8CodeUnitCount
    }

    /// `PRI ` begins the HTTP/2 preface and nothing else (RFC 9113 section 3.4); CONNECT makes a tunnel.
    private var reservedMethod: Unsuitability? {
        if isMethod("PRI ") { return .http2Preface }
        if isMethod("CONNECT ") { return .connectMethod }
        return nil
    }

    /// Origin form or absolute form (RFC 9112 section 3.2). Asterisk form asks about the server itself, and authority
    /// form is CONNECT's: both are the origin's.
    private mutating func readTarget() -> ReadStep {
        guard position < bytes.count else { return .incomplete }
        if bytes[position] != 0x2F {
            let absolute = readSchemeAndAuthority()
            guard absolute == .done else { return absolute }
        }
        let start = position
        while position < bytes.count {
            let byte = bytes[position]
            if byte == .space {
                path = ByteRange(start: start, count: position &- start)
                position &+= 1
                return .done
            }
            // Beyond VCHAR: a fragment has no place here, and a backslash is a slash to some.
            guard byte.isVisible, byte != 0x23, byte != 0x5C else {
                return .unsuitable(byte == .lineFeed ? .bareLineFeed : .malformed)
            }
            // "//name/" is a path to some and an authority to others.
            if position == start &+ 1, byte == 0x2F { return .unsuitable(.malformed) }
            position &+= 1
        }
        return .incomplete
    }

    /// `http://authority`, up to the "/" that must follow. `https` over clear TCP is somebody's mistake.
    private mutating func readSchemeAndAuthority() -> ReadStep {
        let scheme: StaticString = "http://"
        var index = 0
        while index < 7 {
            guard position < bytes.count else { return .incomplete }
            guard bytes[position].lowercased == scheme.utf8Start[index] else { return .unsuitable(.malformed) }
            position &+= 1
            index &+= 1
        }
        let start = position
        while position < bytes.count {
            let byte = bytes[position]
            if byte == 0x2F {
                guard position > start else { return .unsuitable(.malformed) }
                authority = ByteRange(start: start, count: position &- start)
                return .done
            }
            guard byte.isHostNameCharacter || byte == 0x3A || byte == 0x5B || byte == 0x5D else {
                return .unsuitable(.malformed)
            }
            position &+= 1
        }
        return .incomplete
    }

    /// `HTTP/1.1` or `HTTP/1.0`, CRLF.
    private mutating func readVersion() -> ReadStep {
        let prefix: StaticString = "HTTP/1."
        let agreed = bytes.agreement(with: prefix, at: position)
        guard agreed == prefix.utf8CodeUnitCount else {
            return position &+ agreed == bytes.count ? .incomplete : .unsuitable(.malformed)
        }
        position &+= agreed
        guard position < bytes.count else { return .incomplete }
        guard bytes[position] == 0x31 || bytes[position] == 0x30 else { return .unsuitable(.malformed) }
        isVersion11 = bytes[position] == 0x31
        position &+= 1
        return readLineEnd()
    }

    /// CRLF, and nothing that some take for it (RFC 9112 section 2.2).
    mutating func readLineEnd() -> ReadStep {
        guard position < bytes.count else { return .incomplete }
        guard bytes[position] == .carriageReturn else {
            return .unsuitable(bytes[position] == .lineFeed ? .bareLineFeed : .malformed)
        }
        guard position &+ 1 < bytes.count else { return .incomplete }
        guard bytes[position &+ 1] == .lineFeed else { return .unsuitable(.malformed) }
        position &+= 2
        return .done
    }
}
