import Control
import Testing

@Suite struct RoundTripEstimatorTests {
    private func settings(floor: UInt64 = 0, ceiling: UInt64 = 1_000_000) -> DirectorConfiguration.TimeoutSettings {
        var settings = DirectorConfiguration.TimeoutSettings()
        settings.floorMicroseconds = floor
        settings.ceilingMicroseconds = ceiling
        return settings
    }

    /// RFC 6298, 2.2 and 2.3, with numbers worked out by hand.
    @Test func followsTheRFC() {
        var estimator = RoundTripEstimator(settings())
        #expect(estimator.timeoutMicroseconds == 20_000)
        estimator.sample(microseconds: 1_000)
        #expect(estimator.srttMicroseconds == 1_000 && estimator.rttvarMicroseconds == 500)
        #expect(estimator.timeoutMicroseconds == 3_000)
        estimator.sample(microseconds: 2_000)
        // The variance takes |1000 - 2000|, the SRTT before this sample.
        #expect(estimator.rttvarMicroseconds == 625 && estimator.srttMicroseconds == 1_125)
        #expect(estimator.timeoutMicroseconds == 3_625)
        estimator.sample(microseconds: 1_125)
        #expect(estimator.rttvarMicroseconds == 468.75 && estimator.srttMicroseconds == 1_125)
    }

    @Test func granularityKeepsTheTimeoutApartFromTheMean() {
        var estimator = RoundTripEstimator(settings())
        for _ in 0..<200 { estimator.sample(microseconds: 1_000) }
        #expect(estimator.timeoutMicroseconds == 1_200)
        #expect(estimator.retransmissionMicroseconds == nil)
    }

    @Test func staysBetweenFloorAndCeiling() {
        var estimator = RoundTripEstimator(settings(floor: 2_000, ceiling: 50_000))
        estimator.sample(microseconds: 10)
        #expect(estimator.timeoutMicroseconds == 2_000)
        estimator.sample(microseconds: 900_000)
        #expect(estimator.timeoutMicroseconds == 50_000)
    }

    @Test func doublesOnTimeoutOncePerFlightAndReturnsWithASample() {
        var estimator = RoundTripEstimator(settings(ceiling: 50_000))
        estimator.sample(microseconds: 1_000)
        estimator.timedOut(sentAt: 0, now: 3_000)
        estimator.timedOut(sentAt: 100, now: 3_100)
        #expect(estimator.timeoutMicroseconds == 6_000)
        estimator.timedOut(sentAt: 3_000, now: 9_000)
        #expect(estimator.timeoutMicroseconds == 12_000)
        for round in 1..<100 as Range<UInt64> {
            estimator.timedOut(sentAt: round * 100_000, now: round * 100_000 + 50_000)
        }
        #expect(estimator.timeoutMicroseconds == 50_000)
        estimator.sample(microseconds: 1_000)
        #expect(estimator.timeoutMicroseconds < 3_000)
    }

    @Test func keepaliveOnlySeeds() {
        var estimator = RoundTripEstimator(settings())
        estimator.seed(microseconds: 300)
        #expect(estimator.timeoutMicroseconds == 900)
        estimator.seed(microseconds: 400)
        #expect(estimator.srttMicroseconds == 400)
        estimator.sample(microseconds: 5_000)
        #expect(estimator.srttMicroseconds == 5_000 && estimator.rttvarMicroseconds == 2_500)
        estimator.seed(microseconds: 300)
        #expect(estimator.srttMicroseconds == 5_000)
    }

    @Test func retransmitsAtTwoVariations() {
        var estimator = RoundTripEstimator(settings())
        estimator.sample(microseconds: 1_000)
        #expect(estimator.retransmissionMicroseconds == 2_000)
        #expect(estimator.timeoutMicroseconds == 3_000)
    }
}
