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
        #expect((0..<12).filter { _ in budget.take() }.count == 10)
        #expect(budget.refill(now: 501_000) == nil, "room for one line, and it would be taken by the count")
        #expect(budget.refill(now: 1_001_000) == 2)
        #expect(budget.take() && !budget.take())
    }
}
