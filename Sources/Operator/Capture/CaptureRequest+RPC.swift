import InterCore
import Wire

extension CaptureRequest {
    /// The parameters of `capture`; `docs/control-socket.md` has them.
    init(_ parameters: inout RPCParameters) throws(RPCError) {
        self.init()
        order.client = try parameters.prefix("client") ?? order.client
        order.server = try parameters.prefix("server") ?? order.server
        order.clientPort = UInt16(try parameters.integer("clientPort", in: 1...65_535) ?? 0)
        order.serverPort = UInt16(try parameters.integer("port", in: 1...65_535) ?? 0)
        proxy = try parameters.string("proxy")
        includesCRTP = try parameters.bool("crtp") ?? false
        order.snapLength = UInt16(
            try parameters.integer("snap", in: 64...CaptureOrder.longestSnap) ?? CaptureOrder.longestSnap)
        order.packetsPerSecond = UInt32(
            try parameters.integer("rate", in: 10...100_000) ?? Int(order.packetsPerSecond))
        packets = try parameters.integer("packets", in: 1...1_000_000) ?? packets
        bytes = try parameters.integer("bytes", in: 4_096...1 << 30) ?? bytes
        seconds = try parameters.integer("seconds", in: 1...3_600) ?? seconds
    }
}

extension RPCParameters {
    fileprivate mutating func prefix(_ name: String) throws(RPCError) -> AddressPrefix? {
        guard let text = try string(name) else { return nil }
        guard let prefix = AddressPrefix(text) else {
            throw .invalidParameters("'\(name)' is an address or a prefix: 10.0.0.1, 10.0.0.0/8, 2001:db8::/32")
        }
        return prefix
    }
}
