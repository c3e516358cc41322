import Testing

/// Two TCPs of the model talk through a translation as if there were none: each byte arrives once and in order, nothing is
/// taken outside a window, no acknowledgement, SACK, window or timestamp says what is not so.
@Suite struct TranslatedConnectionTests {
    private static let conditions: [(String, ModelConnection.Conditions)] = [
        ("quiet", .init()),
        ("lossy", .init(loss: 10)),
        ("reordered", .init(delay: 12)),
        ("doubled", .init(duplication: 15, delay: 5)),
        ("damaged", .init(damage: 10)),
        ("all at once", .init(loss: 5, duplication: 5, damage: 5, delay: 8)),
    ]

    @Test(arguments: translationSeeds) func everyByteArrives(seed: UInt64) {
        for (name, conditions) in Self.conditions {
            for round in 0..<20 {
                var connection = ModelConnection(seed: seed &+ UInt64(round) &* 1_000, conditions)
                connection.run()
                let (client, server) = (connection.client, connection.server)
                let place = "seed \(seed), \(name), round \(round), \(connection.steps) steps"
                #expect(connection.violations.isEmpty, "\(place): \(connection.violations)")
                #expect(client.incoming == server.outgoing && client.isDone, "\(place): to the client")
                #expect(server.incoming == client.outgoing && server.isDone, "\(place): to the server")
                // Without copies that overtake each other nothing is ever old.
                if conditions.delay == 1 {
                    #expect(client.pawsRejections + server.pawsRejections == 0, "\(place)")
                }
            }
        }
    }
}
