package import Wire

/// State on its way from one process to the next, as numbers and byte strings one behind the other, big-endian.
package struct SuccessionWriter {
    package private(set) var bytes: [UInt8] = []
    package init() {}

    package mutating func put(_ value: some FixedWidthInteger & BitwiseCopyable) {
        withUnsafeBytes(of: value.bigEndian) { bytes.append(contentsOf: $0) }
    }

    package mutating func put(_ value: Bool) { put(value ? 1 as UInt8 : 0) }

    package mutating func put(_ value: [UInt8]) {
        put(UInt32(value.count))
        bytes += value
    }

    package mutating func put(_ endpoint: Endpoint) {
        put(endpoint.address.high)
        put(endpoint.address.low)
        put(endpoint.port)
    }

    /// The body that the message has in a frame.
    package mutating func put(_ message: Message) {
        var body: [UInt8] = []
        MessageCodec.encode(message, into: &body)
        put(message.type.rawValue)
        put(body)
    }
}

/// Reads what `SuccessionWriter` has written. Whatever does not fit is an error: the writer may be another version.
package struct SuccessionReader {
    package struct Unreadable: Error {
        package init() {}
    }

    private let bytes: [UInt8]
    private var offset = 0

    package init(_ bytes: [UInt8]) { self.bytes = bytes }

    package var isAtEnd: Bool { offset == bytes.count }

    package mutating func number<Number: FixedWidthInteger & BitwiseCopyable>(
        _ type: Number.Type = Number.self
    ) throws(Unreadable) -> Number {
        let end = offset + MemoryLayout<Number>.size
        guard end <= bytes.count else { throw Unreadable() }
        defer { offset = end }
        return bytes.withUnsafeBytes {
            Number(bigEndian: $0.loadUnaligned(fromByteOffset: offset, as: Number.self))
        }
    }

    package mutating func flag() throws(Unreadable) -> Bool { try number(UInt8.self) != 0 }

    package mutating func string() throws(Unreadable) -> [UInt8] {
        let count = Int(try number(UInt32.self))
        guard count <= bytes.count - offset else { throw Unreadable() }
        defer { offset += count }
        return Array(bytes[offset..<offset + count])
    }

    package mutating func endpoint() throws(Unreadable) -> Endpoint {
        let address = IPAddress(high: try number(), low: try number())
        return Endpoint(address, port: try number())
    }

    /// `session` is what the frame's header would say.
    package mutating func message(session: UInt32 = 0) throws(Unreadable) -> Message {
        let type: UInt8 = try number()
        let body = try string()
        let decoded = body.withUnsafeBytes { MessageCodec.decode(type: type, session: session, body: $0) }
        guard case .message(let message, _) = decoded else { throw Unreadable() }
        return message
    }

    /// As many as there are elements.
    package mutating func list<Element>(
        _ element: (inout SuccessionReader) throws(Unreadable) -> Element
    ) throws(Unreadable) -> [Element] {
        let count: UInt32 = try number()
        var list: [Element] = []
        for _ in 0..<count { list.append(try element(&self)) }
        return list
    }
}
