import Control
import Testing

/// When checks bring an origin up and take it down.
@Suite struct OriginHealthTests {
    /// After each result of `results` ("+" good, "-" failed): is it up?
    private func states(_ results: String, rise: Int = 2, fall: Int = 3) -> String {
        var check = DirectorConfiguration.Check()
        (check.rise, check.fall) = (rise, fall)
        var health = OriginHealth(check)
        return String(
            results.map { result in
                let before = health.isUp
                let isChange = health.note(isGood: result == "+")
                #expect(isChange == (before != health.isUp), "changes are told, and nothing else is")
                return health.isUp ? "U" : "d"
            })
    }

    @Test(arguments: [
        // The first result decides at once; later ones need to be several in a row.
        ("+", "U"), ("-", "d"), ("--", "dd"), ("-+-++", "ddddU"), ("+--+---", "UUUUUUd"), ("+---+-++", "UUUddddU"),
    ]) func severalInARowCount(_ results: String, _ expected: String) {
        #expect(states(results) == expected)
    }

    @Test func oneIsEnoughWhereItIsConfiguredSo() { #expect(states("+-+-", rise: 1, fall: 1) == "UdUd") }

    @Test func withoutChecksItIsUp() {
        var check = DirectorConfiguration.Check()
        check.intervalMicroseconds = 0
        #expect(OriginHealth(check).isUp)
    }
}
