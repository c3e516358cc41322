import Adoption
import Testing
import Wire

@Suite struct AdopterTests {
    @Test func theClockGoesOnByTheAgeRoundedUp() {
        var state = ConnectionState(
            key: FlowKey(
                client: IPAddress("10.0.0.1")!, clientPort: 1, server: IPAddress("10.0.0.80")!, serverPort: 80),
            psn: SequenceNumber(1), pan: SequenceNumber(5), clientWindow: 1, serverWindowEdge: SequenceNumber(0),
            options: NegotiatedOptions(clientMSS: 1_460, serverMSS: 1_460))
        state.serverTimestamp = 1_000
        let adopter = Adopter(uncommittedMark: 1)
        let expected: [(UInt32, UInt32)] = [
            (0, 1_000), (1, 1_002), (1_000, 1_002), (1_001, 1_002), (3_000, 1_004), (.max, 1_000 + 4_294_968),
        ]
        for (age, timestamp) in expected {
            state.timestampAgeMicroseconds = age
            #expect(adopter.nextTimestamp(state) == timestamp, "age \(age)")
        }
    }
}
