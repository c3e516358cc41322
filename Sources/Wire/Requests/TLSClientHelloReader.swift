/// A TLS ClientHello (RFC 8446 section 4.1.2, RFC 5246 section 7.4.1.2), which may lie in several records.
///
/// One pass: each step takes bytes from the handshake stream below it (`HandshakeStream`), and the first step that
/// misses bytes or dislikes them decides the answer.
struct TLSClientHelloReader {
    static var handshakeContentType: UInt8 { 22 }
    /// Longest ClientHello that is read, in bytes, with its handshake header: one record's worth.
    static var maximumLength: Int { 16_384 }

    private let application: Application
    private var stream: HandshakeStream
    private var serverName = ByteRange()
    private var alpn: ALPN = []
    private var hasServerName = false
    private var hasALPN = false

    /// - Parameter application: `tls` for bytes in records, `quic` for the handshake itself (RFC 9001 section 4.1.3).
    init(_ bytes: UnsafeRawBufferPointer, application: Application = .tls) {
        self.application = application
        stream = HandshakeStream(bytes, isInRecords: application == .tls)
    }

    mutating func read() -> Recognition {
        let step = readMessage()
        switch stream.state {
        case .done: break
        case .incomplete: return .incomplete
        case .unsuitable(let reason): return .unsuitable(reason)
        }
        switch step {
        case .done: break
        case .incomplete: return .incomplete
        case .unsuitable(let reason): return .unsuitable(reason)
        }
        guard hasServerName else { return .unsuitable(.noServerName) }
        return .request(
            RecognisedRequest(application: application, headLength: stream.position, host: serverName, alpn: alpn))
    }

    /// Handshake header and the fixed part of ClientHello, up to its extensions.
    private mutating func readMessage() -> ReadStep {
        let type = stream.readUInt8()
        guard stream.isReadable else { return .incomplete }
        guard type == 1 else { return .unsuitable(.malformed) }
        let length = stream.readUInt24()
        guard stream.isReadable else { return .incomplete }
        guard length &+ 4 <= Self.maximumLength else { return .unsuitable(.tooLong) }

        var remaining = length
        // legacy_version and random
        guard take(34, of: &remaining) else { return .unsuitable(.malformed) }
        let version = stream.readUInt16()
        guard stream.isReadable else { return .incomplete }
        guard version >= 0x0301, version <= 0x0303 else { return .unsuitable(.malformed) }
        stream.skip(32)

        guard take(1, of: &remaining) else { return .unsuitable(.malformed) }
        let sessionLength = Int(stream.readUInt8())
        guard stream.isReadable else { return .incomplete }
        guard sessionLength <= 32, take(sessionLength, of: &remaining) else { return .unsuitable(.malformed) }
        stream.skip(sessionLength)

        guard take(2, of: &remaining) else { return .unsuitable(.malformed) }
        let suitesLength = Int(stream.readUInt16())
        guard stream.isReadable else { return .incomplete }
        guard suitesLength >= 2, suitesLength & 1 == 0, take(suitesLength, of: &remaining) else {
            return .unsuitable(.malformed)
        }
        stream.skip(suitesLength)

        guard take(1, of: &remaining) else { return .unsuitable(.malformed) }
        let methodsLength = Int(stream.readUInt8())
        guard stream.isReadable else { return .incomplete }
        guard methodsLength >= 1, take(methodsLength, of: &remaining) else { return .unsuitable(.malformed) }
        stream.skip(methodsLength)

        if remaining > 0 {
            guard take(2, of: &remaining) else { return .unsuitable(.malformed) }
            let extensionsLength = Int(stream.readUInt16())
            guard stream.isReadable else { return .incomplete }
            guard extensionsLength == remaining else { return .unsuitable(.malformed) }
            let extensions = readExtensions(extensionsLength)
            guard extensions == .done else { return extensions }
        }
        // A second message behind ClientHello in its record has no place in any version.
        return stream.isAtRecordEnd ? .done : .unsuitable(.malformed)
    }

    private mutating func readExtensions(_ length: Int) -> ReadStep {
        var remaining = length
        while remaining > 0 {
            guard take(4, of: &remaining) else { return .unsuitable(.malformed) }
            let type = stream.readUInt16()
            let length = Int(stream.readUInt16())
            guard stream.isReadable else { return .incomplete }
            guard take(length, of: &remaining) else { return .unsuitable(.malformed) }
            let step = readExtension(type, length: length)
            guard step == .done else { return step }
        }
        return .done
    }

    private mutating func readExtension(_ type: UInt16, length: Int) -> ReadStep {
        switch type {
        case 0: return readServerName(length)
        case 16: return readALPN(length)
        case 42: return .unsuitable(.earlyData)
        // encrypted_client_hello (RFC 9849), its drafts, and encrypted_server_name before it. The name outside is not
        // the site's, and a GREASE extension looks just like a real one.
        case 0xFE0D, 0xFE08...0xFE0C, 0xFFCE: return .unsuitable(.encryptedClientHello)
        default:
            stream.skip(length)
            return stream.isReadable ? .done : .incomplete
        }
    }

    /// RFC 6066 section 3: a list, in which exactly one host_name is expected.
    private mutating func readServerName(_ length: Int) -> ReadStep {
        guard !hasServerName, length >= 6 else { return .unsuitable(.malformed) }
        hasServerName = true
        let listLength = Int(stream.readUInt16())
        let type = stream.readUInt8()
        let nameLength = Int(stream.readUInt16())
        guard stream.isReadable else { return .incomplete }
        guard listLength == length &- 2, type == 0, nameLength == length &- 5, nameLength <= 255 else {
            return .unsuitable(.malformed)
        }
        // Where its first byte will be: behind a record header if the record ends here.
        stream.enterRecord()
        guard stream.isReadable else { return .incomplete }
        // A name cut by a record boundary has no place as one range of bytes.
        guard nameLength <= stream.remainingInRecord else { return .unsuitable(.malformed) }
        serverName = ByteRange(start: stream.position, count: nameLength)
        var index = 0
        var previous: UInt8 = 0x2E
        while index < nameLength {
            let byte = stream.readUInt8()
            guard stream.isReadable else { return .incomplete }
            // No dot first, last or twice (the section forbids a trailing one).
            guard byte.isHostNameCharacter, byte != 0x2E || previous != 0x2E else { return .unsuitable(.malformed) }
            previous = byte
            index &+= 1
        }
        return previous == 0x2E ? .unsuitable(.malformed) : .done
    }

    /// RFC 7301 section 3.1: `ProtocolName protocol_name_list<2..2^16-1>`, each of 1 to 255 bytes.
    private mutating func readALPN(_ length: Int) -> ReadStep {
        guard !hasALPN, length >= 4 else { return .unsuitable(.malformed) }
        hasALPN = true
        let listLength = Int(stream.readUInt16())
        guard stream.isReadable else { return .incomplete }
        guard listLength == length &- 2 else { return .unsuitable(.malformed) }
        var remaining = listLength
        while remaining > 0 {
            let nameLength = Int(stream.readUInt8())
            guard stream.isReadable else { return .incomplete }
            remaining &-= 1
            guard nameLength > 0, take(nameLength, of: &remaining) else { return .unsuitable(.malformed) }
            let name = readALPNName(nameLength)
            guard stream.isReadable else { return .incomplete }
            alpn.formUnion(name)
        }
        return .done
    }

    private mutating func readALPNName(_ length: Int) -> ALPN {
        let http11: StaticString = "http/1.1"
        let http2: StaticString = "h2"
        let http3: StaticString = "h3"
        var couldBeHTTP11 = length == 8
        var couldBeHTTP2 = length == 2
        var couldBeHTTP3 = length == 2
        var index = 0
        while index < length {
            let byte = stream.readUInt8()
            guard stream.isReadable else { return [] }
            if couldBeHTTP11 { couldBeHTTP11 = byte == http11.utf8Start[index] }
            if couldBeHTTP2 { couldBeHTTP2 = byte == http2.utf8Start[index] }
            if couldBeHTTP3 { couldBeHTTP3 = byte == http3.utf8Start[index] }
            index &+= 1
        }
        return couldBeHTTP11 ? .http11 : couldBeHTTP2 ? .http2 : couldBeHTTP3 ? .http3 : .other
    }

    /// Takes `count` bytes off a length that encloses them; false when there are not as many.
    private func take(_ count: Int, of remaining: inout Int) -> Bool {
        guard count <= remaining else { return false }
        remaining &-= count
        return true
    }
}

/// The handshake bytes inside a row of TLS records (RFC 8446 section 5.1), or without records around them.
///
/// Reads past the end give 0 and leave `state` at `.incomplete`; a bad record header leaves it at `.unsuitable`.
/// Either way nothing is read any more.
struct HandshakeStream {
    private(set) var state = ReadStep.done
    /// The next byte to read, counted from the first record's header.
    private(set) var position = 0
    private(set) var remainingInRecord = 0
    private let bytes: UnsafeRawBufferPointer
    private let isInRecords: Bool

    init(_ bytes: UnsafeRawBufferPointer, isInRecords: Bool) {
        self.bytes = bytes
        self.isInRecords = isInRecords
        // As if one record without an end had begun already.
        if !isInRecords { remainingInRecord = .max }
    }

    var isReadable: Bool { state == .done }
    var isAtRecordEnd: Bool { isInRecords ? remainingInRecord == 0 : position == bytes.count }

    /// Steps over the next record header when the current record is used up. The header is judged byte by byte:
    /// content type 22, version 3.1 to 3.3, length 1...16,384 (empty handshake records are forbidden).
    mutating func enterRecord() {
        guard remainingInRecord == 0, state == .done else { return }
        let available = bytes.count &- position
        if available >= 1, bytes[position] != TLSClientHelloReader.handshakeContentType { return refuse() }
        if available >= 2, bytes[position &+ 1] != 3 { return refuse() }
        if available >= 3, bytes[position &+ 2] < 1 || bytes[position &+ 2] > 3 { return refuse() }
        if available >= 4, bytes[position &+ 3] > 0x40 { return refuse() }
        guard available >= 5 else {
            state = .incomplete
            return
        }
        let length = Int(bytes[position &+ 3]) << 8 | Int(bytes[position &+ 4])
        guard length >= 1, length <= 16_384 else { return refuse() }
        position &+= 5
        remainingInRecord = length
    }

    private mutating func refuse() {
        state = .unsuitable(.malformed)
    }

    mutating func readUInt8() -> UInt8 {
        enterRecord()
        guard state == .done else { return 0 }
        guard position < bytes.count else {
            state = .incomplete
            return 0
        }
        let byte = bytes[position]
        position &+= 1
        remainingInRecord &-= 1
        return byte
    }

    mutating func readUInt16() -> UInt16 {
        let high = readUInt8()
        return UInt16(high) << 8 | UInt16(readUInt8())
    }

    mutating func readUInt24() -> Int {
        let high = Int(readUInt16())
        return high << 8 | Int(readUInt8())
    }

    mutating func skip(_ count: Int) {
        var left = count
        while left > 0 {
            enterRecord()
            guard state == .done else { return }
            let step = min(left, remainingInRecord, bytes.count &- position)
            guard step > 0 else {
                state = .incomplete
                return
            }
            position &+= step
            remainingInRecord &-= step
            left &-= step
        }
    }
}
