public import InterCore
public import Wire

/// What a captured packet's comment says of its flow's transfer.
public struct CapturedTransfer: Equatable, Sendable {
    /// The same number as in the logs of director and agent.
    public var transfer: UInt32
    public var proxy: String
    /// Where it stands, or how it ended: `asking`, `committed`, `notFound`.
    public var state: String
    /// From the request to the decision; nil while there is none.
    public var tookMicroseconds: UInt64?
}

extension ControlCore {
    /// The transfer of a flow, while there is one; one that has ended is looked for among the last ones when
    /// `includesEnded`.
    public func capturedTransfer(_ handle: FlowHandle, _ key: FlowKey, includesEnded: Bool) -> CapturedTransfer? {
        if includesEnded, let entry = history.newestFirst.first(where: { $0.key == key }) {
            return CapturedTransfer(
                transfer: entry.transaction, proxy: proxies[entry.proxy].configuration.name,
                state: entry.outcome.reason, tookMicroseconds: entry.tookMicroseconds)
        }
        guard let slot = transfers.slot(handle: handle) else { return nil }
        return CapturedTransfer(
            transfer: transfers[slot].transaction, proxy: proxies[transfers[slot].proxy].configuration.name,
            state: transfers[slot].machine.state.rawValue)
    }

    public func capturedProxy(_ index: ProxyIndex) -> String {
        Int(index.value) < proxies.count ? proxies[Int(index.value)].configuration.name : ""
    }

    /// The proxy that the configuration names so.
    public func proxyIndex(named name: String) -> ProxyIndex? {
        proxies.first { $0.configuration.name == name }?.index
    }

    public func proxyAddress(_ index: ProxyIndex) -> Endpoint? {
        Int(index.value) < proxies.count ? proxies[Int(index.value)].configuration.address : nil
    }
}
