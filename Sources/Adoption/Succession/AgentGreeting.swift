package import CRTP
package import Wire

/// What a successor must know of an agent before it begins: what both must have alike, and what will be passed on.
package struct AgentGreeting: Equatable {
    var uncommittedMark: UInt32
    var deliveryMark: UInt32
    var routingTable: UInt32
    /// Origins of connections that may be alive: the guard must go on letting their packets in.
    var services: [ServicePrefix]
    /// Where the agent listens for directors.
    var control: [Endpoint]

    package init(rules: GuardRules, control: [Endpoint]) {
        uncommittedMark = rules.uncommittedMark
        deliveryMark = rules.deliveryMark
        routingTable = rules.routingTable
        services = rules.services
        self.control = control
    }

    /// nil when connections of this agent can live under those rules.
    package func obstacle(to rules: GuardRules) -> String? {
        let pairs = [
            ("uncommitted-mark", uncommittedMark, rules.uncommittedMark),
            ("delivery-mark", deliveryMark, rules.deliveryMark), ("routing-table", routingTable, rules.routingTable),
        ]
        guard let different = pairs.first(where: { $0.1 != $0.2 }) else { return nil }
        return "'adoption: \(different.0)' has changed, which takes a restart"
    }

    package var encoded: [UInt8] {
        var writer = SuccessionWriter()
        writer.put(uncommittedMark)
        writer.put(deliveryMark)
        writer.put(routingTable)
        writer.put(UInt32(services.count))
        for service in services { writer.put(Array("\(service)".utf8)) }
        writer.put(UInt32(control.count))
        for endpoint in control { writer.put(endpoint) }
        return writer.bytes
    }

    package init(_ bytes: [UInt8]) throws(SuccessionReader.Unreadable) {
        var reader = SuccessionReader(bytes)
        uncommittedMark = try reader.number()
        deliveryMark = try reader.number()
        routingTable = try reader.number()
        services = try reader.list { reader throws(SuccessionReader.Unreadable) in
            guard let service = ServicePrefix(String(decoding: try reader.string(), as: UTF8.self)) else {
                throw SuccessionReader.Unreadable()
            }
            return service
        }
        control = try reader.list { reader throws(SuccessionReader.Unreadable) in try reader.endpoint() }
    }
}
