import Control
import Testing

@Suite struct PlaceIndexTests {
    /// Against a dictionary: few distinct hashes, so that places collide, wrap and move.
    @Test(arguments: 0..<50 as Range<UInt64>) func findsWhatIsInIt(_ seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        var index = PlaceIndex()
        var model: [Int: UInt64] = [:]
        let hashes = (0..<12).map { _ in random.next() & 0xFF << 32 }
        for _ in 0..<2_000 {
            let place = Int.random(in: 0..<200, using: &random)
            if let hash = model[place] {
                index.remove(place, hash: hash)
                model[place] = nil
            } else {
                let hash = hashes.randomElement(using: &random)!
                index.insert(place, hash: hash)
                model[place] = hash
            }
            #expect(index.count == model.count)
            let other = Int.random(in: 0..<200, using: &random)
            let hash = model[other] ?? hashes[0]
            #expect(index.place(hash: hash) { $0 == other } == (model[other] == nil ? nil : other))
        }
        for (place, hash) in model { #expect(index.place(hash: hash) { $0 == place } == place) }
    }

    @Test func whatIsNotThereCannotBeTakenOut() {
        var index = PlaceIndex()
        index.insert(1, hash: 5 << 32)
        index.remove(2, hash: 5 << 32)
        index.remove(1, hash: 6 << 32)
        #expect(index.count == 1 && index.place(hash: 5 << 32) { _ in true } == 1)
    }
}

@Suite struct EndedFlowsTests {
    @Test func theLastOnesAreKnown() {
        var flows = EndedFlows()
        let last = UInt32(EndedFlows.capacity + 10)
        for transfer in 1...last { flows.insert(proxy: 3, transfer: transfer) }
        flows.insert(proxy: 3, transfer: last)
        #expect(!flows.contains(proxy: 3, transfer: 10) && flows.contains(proxy: 3, transfer: 11))
        #expect(flows.contains(proxy: 3, transfer: last) && !flows.contains(proxy: 2, transfer: last))
    }
}

@Suite struct LogBudgetTests {
    @Test func whatIsBeyondIsCounted() {
        var budget = LogBudget(linesPerSecond: 2, now: 1_000)
        #expect((0..<12).filter { budget.take("event \($0)") }.count == 10)
        budget.advance(to: 501_000)
        #expect(budget.takeSuppressed() == nil, "room for one line, and it would be taken by the count")
        budget.advance(to: 1_001_000)
        #expect(budget.takeSuppressed() == .init(count: 2, causes: 2, most: "event 10"))
        #expect(budget.take("a") && !budget.take("b"))
        budget.advance(to: 1_900_000)
        #expect(budget.takeSuppressed() == nil, "once a second")
    }

    /// What floods the log leaves room for what else happens.
    @Test func oneCauseHasHalfOfAllLines() {
        var budget = LogBudget(linesPerSecond: 10)
        #expect((0..<1_000).filter { _ in budget.take("flood") }.count == 25)
        #expect((0..<5).filter { _ in budget.take("other") }.count == 5)
        for second in 1...10 as ClosedRange<UInt64> {
            budget.advance(to: second * 1_000_000)
            #expect((0..<1_000).filter { _ in budget.take("flood") }.count == 5)
            let isGranted = budget.take("other")
            #expect(isGranted)
            let told = budget.takeSuppressed()
            #expect(told?.most == "flood")
        }
    }

    /// Whatever causes there are, they are told apart only up to a bound.
    @Test func causesAreBounded() {
        var budget = LogBudget(linesPerSecond: 1, now: 1)
        for index in 0..<10_000 { _ = budget.take("cause \(index)") }
        budget.advance(to: 100_000_000)
        let told = budget.takeSuppressed()
        #expect(told?.causes == 252 && told?.most == "others", "\(String(describing: told))")
    }
}
