/// Follows the answer to one HTTP/1.1 GET or HEAD to its last byte, over segments that come in order (RFC 9112 section
/// 6.3). Eight bytes of state, nothing allocated, and linear in what it looks at; a body of known length is not read.
///
/// Strict as the reader of requests: whatever two clients could end at different places is unclear, and stays so. A head
/// must lie in one segment.
public struct ResponseFollower: Equatable, Sendable, BitwiseCopyable {
    public enum Step: Equatable, Sendable, BitwiseCopyable {
        /// All bytes belong to the answer, and more are to come.
        case goesOn
        /// The answer ends so many bytes behind the first one that was given; perhaps behind the last one.
        case ends(after: UInt32)
        /// Nobody can say where it ends, not now and not later.
        case unclear
    }

    enum Stage: UInt8, BitwiseCopyable {
        case head
        /// At least one digit of a chunk's size is to come.
        case sizeStart
        case size
        case sizeLineFeed
        case data
        case dataReturn
        case dataLineFeed
        /// Behind the last chunk; there must be no trailer.
        case lastReturn
        case lastLineFeed
    }

    private(set) var stage = Stage.head
    /// The request was HEAD: the answer has no body, whatever its head says.
    private let isToHEAD: Bool
    /// Of the chunk: its size as far as it has been read, then what is left of its data.
    private var left: UInt32 = 0

    @inlinable public static var longestBody: UInt32 { 1 &<< 30 }

    public init(toHEAD: Bool = false) { isToHEAD = toHEAD }

    /// Reads the next bytes of the answer.
    public mutating func read(_ bytes: UnsafeRawBufferPointer) -> Step {
        var position = 0
        while stage == .head {
            guard position < bytes.count else { return position == 0 ? .unclear : .goesOn }
            var head = HTTPResponseHeadReader(bytes, from: position)
            guard head.read() else { return .unclear }
            position = head.position
            switch head.body(toHEAD: isToHEAD) {
            // 100 and its like: the answer itself follows.
            case .interim: continue
            case .length(let length): return .ends(after: UInt32(position) &+ length)
            case .chunked: stage = .sizeStart
            case .unclear: return .unclear
            }
        }
        while position < bytes.count {
            if stage == .data {
                let amount = min(Int(left), bytes.count &- position)
                position &+= amount
                left &-= UInt32(amount)
                if left == 0 { stage = .dataReturn }
                continue
            }
            guard take(bytes[position]) else { return .unclear }
            position &+= 1
            if stage == .head { return .ends(after: UInt32(position)) }
        }
        return .goesOn
    }

    /// A byte around the chunks' data. `head` again: it was the last one.
    private mutating func take(_ byte: UInt8) -> Bool {
        switch stage {
        case .sizeStart, .size:
            if let digit = byte.hexadecimalValue {
                // One digit more of a size that is too large already would not fit into 32 bits.
                guard left <= Self.longestBody / 16 else { return false }
                left = left &* 16 &+ UInt32(digit)
                stage = .size
                return left <= Self.longestBody
            }
            // No extensions.
            guard byte == .carriageReturn, stage == .size else { return false }
            stage = .sizeLineFeed
        case .sizeLineFeed:
            guard byte == .lineFeed else { return false }
            stage = left == 0 ? .lastReturn : .data
        case .dataReturn:
            guard byte == .carriageReturn else { return false }
            stage = .dataLineFeed
        case .dataLineFeed:
            guard byte == .lineFeed else { return false }
            stage = .sizeStart
        case .lastReturn:
            guard byte == .carriageReturn else { return false }
            stage = .lastLineFeed
        case .lastLineFeed:
            guard byte == .lineFeed else { return false }
            stage = .head
        case .head, .data: return false
        }
        return true
    }
}

extension UInt8 {
    fileprivate var hexadecimalValue: UInt8? {
        if isDigit { return self &- 0x30 }
        let letter = (self | 0x20) &- 0x61
        return letter < 6 ? letter &+ 10 : nil
    }
}
