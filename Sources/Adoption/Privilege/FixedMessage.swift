/// The bytes of a message between the two processes, with its numbers in the host's byte order.
struct FixedMessage {
    private(set) var content: [UInt8]

    init(bytes: Int) { content = [UInt8](repeating: 0, count: bytes) }
    init(_ content: [UInt8]) { self.content = content }

    subscript(offset: Int) -> UInt8 {
        get { content[offset] }
        set { content[offset] = newValue }
    }

    mutating func put<Number: FixedWidthInteger & BitwiseCopyable>(_ value: Number, at offset: Int) {
        content.withUnsafeMutableBytes { $0.storeBytes(of: value, toByteOffset: offset, as: Number.self) }
    }

    func get<Number: FixedWidthInteger & BitwiseCopyable>(at offset: Int) -> Number {
        content.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: offset, as: Number.self) }
    }
}
