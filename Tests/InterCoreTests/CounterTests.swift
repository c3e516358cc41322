import InterCore
import Testing

@Test func countersAndGaugesHavePlacesOfTheirOwn() {
    #expect(Counter.allCases.last == .eventRingFull)
    let block = CounterBlock()
    for counter in Counter.allCases { block.add(counter, UInt64(counter.rawValue) + 1) }
    for gauge in Gauge.allCases { block[gauge] = 1_000 + UInt64(gauge.rawValue) }
    #expect(Counter.allCases.allSatisfy { block[$0] == UInt64($0.rawValue) + 1 })
    #expect(Gauge.allCases.allSatisfy { block[$0] == 1_000 + UInt64($0.rawValue) })
}
