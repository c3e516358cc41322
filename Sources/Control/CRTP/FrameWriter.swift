import Wire

/// A frame under construction: numbers and bytes one behind the other, big-endian, in memory of a fixed size. It traps
/// rather than write behind the end.
package struct FrameWriter {
    private let memory: UnsafeMutableRawBufferPointer
    package private(set) var count = 0

    /// What `write` has written, in an array of its own.
    package static func bytes(capacity: Int, _ write: (inout FrameWriter) -> Void) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: capacity) { memory, count in
            var writer = FrameWriter(memory: UnsafeMutableRawBufferPointer(memory))
            write(&writer)
            count = writer.count
        }
    }

    private init(memory: UnsafeMutableRawBufferPointer) { self.memory = memory }

    /// All that has been written.
    var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: memory[..<count]) }

    // MARK: at the end

    mutating func append(_ value: UInt8) { put(value) }
    mutating func append16(_ value: UInt16) { put(value.bigEndian) }
    mutating func append32(_ value: UInt32) { put(value.bigEndian) }
    mutating func append64(_ value: UInt64) { put(value.bigEndian) }

    mutating func append(_ address: IPAddress) {
        append64(address.high)
        append64(address.low)
    }

    mutating func append(contentsOf bytes: some Collection<UInt8>) {
        let room = grow(by: bytes.count)
        room.copyBytes(from: bytes)
    }

    mutating func appendZeros(_ count: Int) {
        _ = grow(by: count).initializeMemory(as: UInt8.self, repeating: 0)
    }

    /// Exactly `count` bytes: `bytes`, cut or followed by zeros.
    mutating func append(_ bytes: [UInt8], paddedTo count: Int) {
        append(contentsOf: bytes.prefix(count))
        appendZeros(max(0, count - bytes.count))
    }

    /// Inlined like `grow`: thirty of them make a TRANSFER.
    @inline(__always)
    private mutating func put(_ value: some BitwiseCopyable & FixedWidthInteger) {
        grow(by: value.bitWidth / 8).storeBytes(of: value, as: type(of: value))
    }

    @inline(__always)
    private mutating func grow(by added: Int) -> UnsafeMutableRawBufferPointer {
        precondition(added >= 0 && added <= memory.count - count, "a frame outgrows its memory")
        defer { count += added }
        return UnsafeMutableRawBufferPointer(rebasing: memory[count..<count + added])
    }

    // MARK: in place

    mutating func store16(_ value: UInt16, at offset: Int) {
        precondition(offset >= 0 && offset + 2 <= count)
        memory.storeBytes(of: value.bigEndian, toByteOffset: offset, as: UInt16.self)
    }

    /// Lets `transform` change everything behind the first `headerCount` bytes and make `tagCount` more. When that fails
    /// nothing is left.
    mutating func transform(
        behind headerCount: Int, tagCount: Int,
        _ transform: (
            _ header: UnsafeRawBufferPointer, _ body: UnsafeMutableRawBufferPointer,
            _ tag: UnsafeMutableRawBufferPointer
        ) -> Bool
    ) {
        let end = count
        let tag = grow(by: tagCount)
        let header = UnsafeRawBufferPointer(rebasing: memory[..<headerCount])
        if !transform(header, UnsafeMutableRawBufferPointer(rebasing: memory[headerCount..<end]), tag) { count = 0 }
    }
}
