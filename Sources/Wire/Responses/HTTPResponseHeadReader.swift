/// The head of an HTTP/1.1 response, as far as it says where the response ends.
struct HTTPResponseHeadReader {
    enum Body: Equatable {
        case interim
        case length(UInt32)
        case chunked
        case unclear
    }

    private let bytes: UnsafeRawBufferPointer
    /// The next byte to read; after `read`, the first one behind the head.
    private(set) var position: Int
    private var status: UInt32 = 0
    private var length: UInt32 = 0
    private var hasLength = false
    private var isChunked = false
    private var staysOpen = true

    init(_ bytes: UnsafeRawBufferPointer, from position: Int) {
        self.bytes = bytes
        self.position = position
    }

    /// False for what is no whole head, or can be read in two ways.
    mutating func read() -> Bool {
        guard readStatusLine() else { return false }
        while position < bytes.count, bytes[position] != .carriageReturn {
            guard readField() else { return false }
        }
        return readLineEnd()
    }

    /// RFC 9112 section 6.3. A response that ends with its connection is none that another could follow.
    func body(toHEAD: Bool) -> Body {
        guard staysOpen, status != 101 else { return .unclear }
        if status < 200 { return hasLength || isChunked ? .unclear : .interim }
        if toHEAD || status == 304 { return .length(0) }
        if status == 204 { return hasLength || isChunked ? .unclear : .length(0) }
        if isChunked { return hasLength ? .unclear : .chunked }
        return hasLength ? .length(length) : .unclear
    }

    /// `HTTP/1.1 SP 3DIGIT SP [reason] CRLF`.
    private mutating func readStatusLine() -> Bool {
        let start = position
        guard bytes.agreement(with: "HTTP/1.1 ", at: start) == 9, bytes.count &- start >= 13 else { return false }
        var index = start &+ 9
        while index < start &+ 12 {
            guard bytes[index].isDigit else { return false }
            status = status &* 10 &+ UInt32(bytes[index] &- 0x30)
            index &+= 1
        }
        guard bytes[index] == .space, status >= 100, status < 600 else { return false }
        position = index &+ 1
        skipText()
        return readLineEnd()
    }

    /// `name ":" OWS value OWS CRLF`.
    private mutating func readField() -> Bool {
        let start = position
        while position < bytes.count, bytes[position].isTokenCharacter { position &+= 1 }
        let count = position &- start
        guard count > 0, position < bytes.count, bytes[position] == 0x3A else { return false }
        position &+= 1
        while position < bytes.count, bytes[position].isBlank { position &+= 1 }
        let valueStart = position
        skipText()
        var valueEnd = position
        while valueEnd > valueStart, bytes[valueEnd &- 1].isBlank { valueEnd &-= 1 }
        guard readLineEnd() else { return false }
        switch count {
        case 10 where bytes.matches("connection", at: start, count: count):
            if !bytes.matches("keep-alive", at: valueStart, count: valueEnd &- valueStart) { staysOpen = false }
        case 14 where bytes.matches("content-length", at: start, count: count):
            return readLength(from: valueStart, to: valueEnd)
        case 14 where bytes.matches("content_length", at: start, count: count),
            17 where bytes.matches("transfer_encoding", at: start, count: count):
            return false
        case 17 where bytes.matches("transfer-encoding", at: start, count: count):
            guard !isChunked, bytes.matches("chunked", at: valueStart, count: valueEnd &- valueStart) else {
                return false
            }
            isChunked = true
        default: break
        }
        return true
    }

    /// One number, once; longer bodies than can be followed in sequence numbers are not.
    private mutating func readLength(from start: Int, to end: Int) -> Bool {
        guard !hasLength, end > start, end &- start <= 10 else { return false }
        var value: UInt64 = 0
        var index = start
        while index < end {
            guard bytes[index].isDigit else { return false }
            value = value &* 10 &+ UInt64(bytes[index] &- 0x30)
            index &+= 1
        }
        guard value <= UInt64(ResponseFollower.longestBody) else { return false }
        length = UInt32(truncatingIfNeeded: value)
        hasLength = true
        return true
    }

    private mutating func skipText() {
        while position < bytes.count, bytes[position].isVisible || bytes[position].isBlank || bytes[position] >= 0x80 {
            position &+= 1
        }
    }

    private mutating func readLineEnd() -> Bool {
        guard position &+ 1 < bytes.count, bytes[position] == .carriageReturn, bytes[position &+ 1] == .lineFeed else {
            return false
        }
        position &+= 2
        return true
    }
}

extension UInt8 {
    fileprivate var isBlank: Bool { self == .space || self == .tab }
}
