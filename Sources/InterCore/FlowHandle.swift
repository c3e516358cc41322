/// Names a flow of a worker to the control core. The generation makes a handle that outlived its flow harmless:
/// a worker ignores a message whose generation is not the entry's (rule 1 of a transfer).
public struct FlowHandle: Hashable, Sendable, BitwiseCopyable {
    public var index: UInt32
    public var generation: UInt32
    public var worker: UInt8

    @inlinable
    public init(worker: UInt8, index: UInt32, generation: UInt32) {
        self.worker = worker
        self.index = index
        self.generation = generation
    }

    /// In an index: the flow is one of UDP datagrams, which live in a table of their own. No table is so large that its
    /// own indices reach here.
    @inlinable public static var datagramBit: UInt32 { 0x1000_0000 }
    @inlinable public var isOfDatagrams: Bool { index & FlowHandle.datagramBit != 0 }
}

extension FlowHandle: CustomStringConvertible {
    public var description: String { "\(worker).\(index).\(generation)" }
}

/// A proxy in the worker's table of next hops, 0...254.
public struct ProxyIndex: Hashable, Sendable, BitwiseCopyable {
    public var value: UInt8
    @inlinable public init(_ value: UInt8) { self.value = value }
    /// No proxy.
    @inlinable public static var none: ProxyIndex { .init(255) }
}
