/// Cuts a stream of bytes (TCP) into frames, which follow one another and tell their own length. Keeps less than one
/// frame, whatever comes; what cannot be the beginning of a frame breaks the stream for good, since nobody knows where
/// the next one would begin.
public struct FrameStream: Sendable {
    /// The beginning of a frame whose rest is yet to come.
    private var beginning: [UInt8] = []
    /// Nothing that comes can be read any more.
    public private(set) var isBroken = false

    public init() {}

    /// Gives all frames that are whole now, in order. False when the stream is broken.
    @discardableResult
    public mutating func append(_ bytes: UnsafeRawBufferPointer, whole: ([UInt8]) -> Void) -> Bool {
        var rest = bytes[...]
        while !isBroken, !rest.isEmpty {
            if beginning.isEmpty {
                rest = cut(rest, whole)
                beginning.append(contentsOf: rest)
                rest = rest[rest.endIndex...]
            } else {
                let missing = wanted - beginning.count
                beginning.append(contentsOf: rest.prefix(missing))
                rest = rest.dropFirst(missing)
                finish(whole)
            }
        }
        if isBroken { beginning = [] }
        return !isBroken
    }

    /// Frames that lie in the bytes from end to end; what is left is less than one.
    private mutating func cut(_ bytes: Slice<UnsafeRawBufferPointer>, _ whole: ([UInt8]) -> Void)
        -> Slice<UnsafeRawBufferPointer>
    {
        var rest = bytes
        while let length = FrameHeader.frameLength(UnsafeRawBufferPointer(rebasing: rest)) {
            if length == 0 {
                isBroken = true
                return rest
            }
            if rest.count < length { return rest }
            whole([UInt8](rest.prefix(length)))
            rest = rest.dropFirst(length)
        }
        return rest
    }

    /// How many bytes `beginning` needs: those that tell the length, then the frame's.
    private var wanted: Int {
        beginning.withUnsafeBytes(FrameHeader.frameLength) ?? FrameHeader.lengthEnd
    }

    /// `beginning` has got all that it needed.
    private mutating func finish(_ whole: ([UInt8]) -> Void) {
        guard let length = beginning.withUnsafeBytes(FrameHeader.frameLength) else { return }
        if length == 0 {
            isBroken = true
        } else if beginning.count == length {
            whole(beginning)
            beginning.removeAll(keepingCapacity: true)
        }
    }
}
