/// Field lines (RFC 9112 section 5), and the few fields that decide whether a head has one meaning.
extension HTTPRequestReader {
    enum LineStart {
        case field
        case endOfHead
        case incomplete
        case unsuitable(Unsuitability)
    }

    mutating func readLineStart() -> LineStart {
        guard position < bytes.count else { return .incomplete }
        let byte = bytes[position]
        if byte == .carriageReturn {
            switch readLineEnd() {
            case .done: return .endOfHead
            case .incomplete: return .incomplete
            case .unsuitable(let reason): return .unsuitable(reason)
            }
        }
        if byte == .lineFeed { return .unsuitable(.bareLineFeed) }
        // RFC 9112 section 5.2, and section 2.2 for white space before the first field.
        if byte == .space || byte == .tab { return .unsuitable(.obsoleteFold) }
        return .field
    }

    /// `name ":" OWS value OWS CRLF`.
    mutating func readField() -> ReadStep {
        let nameStart = position
        while position < bytes.count, bytes[position].isTokenCharacter { position &+= 1 }
        guard position < bytes.count else { return .incomplete }
        guard bytes[position] == 0x3A, position > nameStart else {
            return .unsuitable(bytes[position] == .lineFeed ? .bareLineFeed : .malformed)
        }
        let name = FieldName(bytes, start: nameStart, count: position &- nameStart)
        position &+= 1
        // These are refused whatever their value is.
        switch name {
        case .expect: return .unsuitable(.expectation)
        case .upgrade: return .unsuitable(.upgrade)
        case .contentLength, .transferEncoding:
            if isGetOrHead { return .unsuitable(.framedBody) }
        case .host:
            if hasHost { return .unsuitable(.hostRepeated) }
        case .disguised: return .unsuitable(.malformed)
        case .connection, .credentials, .other: break
        }

        while position < bytes.count, bytes[position] == .space || bytes[position] == .tab { position &+= 1 }
        let valueStart = position
        while position < bytes.count {
            let byte = bytes[position]
            // field-vchar, SP and HTAB of RFC 9110 section 5.5; obs-text is opaque to everyone.
            guard byte.isVisible || byte == .space || byte == .tab || byte >= 0x80 else { break }
            position &+= 1
        }
        var valueEnd = position
        while valueEnd > valueStart, bytes[valueEnd &- 1] == .space || bytes[valueEnd &- 1] == .tab { valueEnd &-= 1 }
        let end = readLineEnd()
        guard end == .done else { return end }
        return judge(name, value: ByteRange(start: valueStart, count: valueEnd &- valueStart))
    }

    private mutating func judge(_ name: FieldName, value: ByteRange) -> ReadStep {
        switch name {
        case .host: return judgeHost(value)
        case .contentLength: return judgeContentLength(value)
        case .transferEncoding: return judgeTransferEncoding(value)
        case .connection: return judgeConnection(value)
        case .credentials:
            hasCredentials = true
            return .done
        case .other, .expect, .upgrade, .disguised: return .done
        }
    }

    private mutating func judgeHost(_ value: ByteRange) -> ReadStep {
        hasHost = true
        if value.isEmpty { return .unsuitable(.hostMissing) }
        guard let name = hostWithoutPort(value) else { return .unsuitable(.malformed) }
        hostAndPort = value
        host = name
        return .done
    }

    /// One number (RFC 9112 section 6.3, items 4 and 5): no list, no sign, nothing that overflows 63 bits.
    private mutating func judgeContentLength(_ value: ByteRange) -> ReadStep {
        guard !hasContentLength, value.count >= 1, value.count <= 18 else { return .unsuitable(.framedBody) }
        var index = Int(value.start)
        while index < value.end {
            guard bytes[index].isDigit else { return .unsuitable(.framedBody) }
            index &+= 1
        }
        hasContentLength = true
        return .done
    }

    /// `chunked`, once, and never in 1.0 (RFC 9112 section 6.1).
    private mutating func judgeTransferEncoding(_ value: ByteRange) -> ReadStep {
        guard isVersion11, !hasTransferEncoding,
            bytes.matches("chunked", at: Int(value.start), count: Int(value.count))
        else { return .unsuitable(.framedBody) }
        hasTransferEncoding = true
        return .done
    }

    /// Connection may name fields to be dropped on the way (RFC 9110 section 7.6.1), Host among them; then a head
    /// means one thing before a proxy and another behind it. Only the harmless options pass.
    private mutating func judgeConnection(_ value: ByteRange) -> ReadStep {
        var index = Int(value.start)
        while index < value.end {
            let start = index
            while index < value.end, bytes[index].isTokenCharacter { index &+= 1 }
            let count = index &- start
            if bytes.matches("upgrade", at: start, count: count) { return .unsuitable(.upgrade) }
            if bytes.matches("http2-settings", at: start, count: count) { return .unsuitable(.upgrade) }
            guard
                count == 0 || bytes.matches("keep-alive", at: start, count: count)
                    || bytes.matches("close", at: start, count: count) || bytes.matches("te", at: start, count: count)
            else { return .unsuitable(.malformed) }
            while index < value.end, bytes[index] == .space || bytes[index] == .tab { index &+= 1 }
            guard index < value.end else { break }
            guard bytes[index] == 0x2C else { return .unsuitable(.malformed) }
            index &+= 1
            while index < value.end, bytes[index] == .space || bytes[index] == .tab { index &+= 1 }
        }
        return .done
    }

    // MARK: authority

    /// `name`, `name:port`, `[v6]` or `[v6]:port`; the part before the port, brackets included. Nil for all else.
    private func hostWithoutPort(_ value: ByteRange) -> ByteRange? {
        let start = Int(value.start)
        var index = start
        if bytes[index] == 0x5B {
            index &+= 1
            while index < value.end, bytes[index] != 0x5D {
                guard bytes[index].isLetterOrDigit || bytes[index] == 0x3A || bytes[index] == 0x2E else { return nil }
                index &+= 1
            }
            guard index < value.end, index > start &+ 1 else { return nil }
            index &+= 1
        } else {
            while index < value.end, bytes[index].isHostNameCharacter { index &+= 1 }
            guard index > start else { return nil }
        }
        let name = ByteRange(start: start, count: index &- start)
        if index == value.end { return name }
        guard bytes[index] == 0x3A else { return nil }
        index &+= 1
        guard index < value.end, value.end &- index <= 5 else { return nil }
        while index < value.end {
            guard bytes[index].isDigit else { return nil }
            index &+= 1
        }
        return name
    }

    /// Absolute form and Host name the same authority, port 80 being the same as none.
    var authorityAgreesWithHost: Bool {
        guard let name = hostWithoutPort(authority), name.count == host.count else { return false }
        var index = 0
        while index < Int(host.count) {
            guard bytes[Int(name.start) &+ index].lowercased == bytes[Int(host.start) &+ index].lowercased else {
                return false
            }
            index &+= 1
        }
        return port(of: authority, after: name) == port(of: hostAndPort, after: host)
    }

    private func port(of value: ByteRange, after name: ByteRange) -> Int {
        guard name.end < value.end else { return 80 }
        var port = 0
        var index = name.end &+ 1
        while index < value.end {
            port = port &* 10 &+ Int(bytes[index] &- 0x30)
            index &+= 1
        }
        return port
    }
}

/// The fields that are looked at.
private enum FieldName {
    case host, contentLength, transferEncoding, connection, expect, upgrade
    /// Authorization, Proxy-Authorization, Cookie.
    case credentials
    /// One of the framing fields with `_` for `-`, which a gateway behind may not tell apart.
    case disguised
    case other

    init(_ bytes: UnsafeRawBufferPointer, start: Int, count: Int) {
        self = .other
        switch count {
        case 4: if bytes.matches("host", at: start, count: count) { self = .host }
        case 6:
            if bytes.matches("cookie", at: start, count: count) { self = .credentials }
            if bytes.matches("expect", at: start, count: count) { self = .expect }
        case 7: if bytes.matches("upgrade", at: start, count: count) { self = .upgrade }
        case 10: if bytes.matches("connection", at: start, count: count) { self = .connection }
        case 13: if bytes.matches("authorization", at: start, count: count) { self = .credentials }
        case 14:
            if bytes.matches("content-length", at: start, count: count) { self = .contentLength }
            if bytes.matches("content_length", at: start, count: count) { self = .disguised }
            if bytes.matches("http2-settings", at: start, count: count) { self = .upgrade }
        case 17:
            if bytes.matches("transfer-encoding", at: start, count: count) { self = .transferEncoding }
            if bytes.matches("transfer_encoding", at: start, count: count) { self = .disguised }
        case 19: if bytes.matches("proxy-authorization", at: start, count: count) { self = .credentials }
        default: break
        }
    }
}
