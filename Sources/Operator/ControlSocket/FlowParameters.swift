import Control
import InterCore
import Wire

// What `flows` and `flows.count` may ask for: read by the director, written by batonctl.

func flowFilter(_ parameters: inout RPCParameters) throws(RPCError) -> FlowFilter {
    var filter = FlowFilter()
    if let name = try parameters.string("state") {
        guard let state = FlowState(name: name) else {
            throw .invalidParameters("'state' is one of \(FlowState.names.joined(separator: ", "))")
        }
        filter.state = state
    }
    filter.proxy = try parameters.string("proxy")
    filter.client = try prefix("client", &parameters)
    filter.server = try prefix("server", &parameters)
    filter.clientPort = try parameters.integer("clientPort", in: 1...65_535).map { UInt16($0) }
    filter.serverPort = try parameters.integer("serverPort", in: 1...65_535).map { UInt16($0) }
    let times = 0...Int(UInt32.max)
    let least = try parameters.integer("idleAtLeastMilliseconds", in: times) ?? times.lowerBound
    let most = try parameters.integer("idleAtMostMilliseconds", in: times) ?? times.upperBound
    guard least <= most else {
        throw .invalidParameters("'idleAtLeastMilliseconds' is larger than 'idleAtMostMilliseconds'")
    }
    filter.idle = UInt32(least)...UInt32(most)
    return filter
}

func flowCursor(_ parameters: inout RPCParameters) throws(RPCError) -> FlowCursor? {
    guard let text = try parameters.string("cursor") else { return nil }
    guard let cursor = FlowCursor(text) else {
        throw .invalidParameters("'cursor' is what an answer had as 'next'")
    }
    return cursor
}

private func prefix(_ name: String, _ parameters: inout RPCParameters) throws(RPCError) -> AddressPrefix {
    guard let text = try parameters.string(name) else { return .any }
    guard let prefix = AddressPrefix(text) else {
        throw .invalidParameters("'\(name)' is an address or a prefix, as in 10.0.0.0/8 or 2001:db8::/32")
    }
    return prefix
}

/// Which flows batonctl is to ask for, as it was told.
public struct FlowSelection: Sendable {
    public var state: String?
    public var proxy: String?
    /// Addresses or prefixes.
    public var client: String?
    public var server: String?
    public var clientPort: Int?
    public var serverPort: Int?
    public var idleAtLeastMilliseconds: Int?
    public var idleAtMostMilliseconds: Int?

    public init() {}

    /// As they are sent; the director says what is wrong with them.
    var parameters: [String: JSONValue] {
        var values: [String: JSONValue] = [:]
        for (name, text) in [("state", state), ("proxy", proxy), ("client", client), ("server", server)] {
            values[name] = text.map { .string($0) }
        }
        for (name, number) in [
            ("clientPort", clientPort), ("serverPort", serverPort),
            ("idleAtLeastMilliseconds", idleAtLeastMilliseconds), ("idleAtMostMilliseconds", idleAtMostMilliseconds),
        ] {
            values[name] = number.map { .integer($0) }
        }
        return values
    }
}

extension FlowState {
    /// As answers have them.
    package static var names: [String] { allCases.map { "\($0)" } }

    init?(name: String) {
        guard let state = FlowState.allCases.first(where: { "\($0)" == name }) else { return nil }
        self = state
    }
}
