import Streams
import Testing

@Suite struct BackOffTests {
    private struct Extreme: RandomNumberGenerator {
        let value: UInt64
        mutating func next() -> UInt64 { value }
    }

    private func pauses(_ count: Int, _ random: Extreme, _ backOff: inout BackOff) -> [UInt64] {
        var random = random
        return (0..<count).map { _ in backOff.pause(random: &random) }
    }

    @Test func pausesDoubleUpToTheBound() {
        var backOff = BackOff(shortestMicroseconds: 100_000, longestMicroseconds: 5_000_000)
        #expect(
            pauses(8, Extreme(value: 0), &backOff) == [
                100_000, 200_000, 400_000, 800_000, 1_600_000, 3_200_000, 5_000_000, 5_000_000,
            ])
    }

    @Test func eachIsShortenedByAQuarterAtMost() {
        var generator = SystemRandomNumberGenerator()
        for _ in 0..<100 {
            var backOff = BackOff(shortestMicroseconds: 1_000, longestMicroseconds: 1_000)
            #expect((750...1_000).contains(backOff.pause(random: &generator)))
        }
    }

    /// A peer that accepts and closes at once is not asked ten times a second for ever.
    @Test func onlyAConnectionThatLivedBeginsAnew() {
        var backOff = BackOff(shortestMicroseconds: 100, longestMicroseconds: 800)
        _ = pauses(3, Extreme(value: 0), &backOff)
        backOff.connectionEnded(afterMicroseconds: 799)
        #expect(pauses(1, Extreme(value: 0), &backOff) == [800])
        backOff.connectionEnded(afterMicroseconds: 800)
        #expect(pauses(1, Extreme(value: 0), &backOff) == [100])
    }
}
