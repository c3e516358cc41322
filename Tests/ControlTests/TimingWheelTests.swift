import Control
import Testing

/// A small generator whose seed is printed, so that a failure can be had again.
struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64
    init(seed: UInt64) { state = seed &+ 0x9E37_79B9_7F4A_7C15 }
    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var value = state
        value = (value ^ (value >> 30)) &* 0xBF58_476D_1CE4_E5B9
        value = (value ^ (value >> 27)) &* 0x94D0_49BB_1331_11EB
        return value ^ (value >> 31)
    }
}

@Suite struct TimingWheelTests {
    /// Against a plain list of deadlines: the same timers fire in the same step, whatever the distances.
    @Test(arguments: [1, 2, 3, 4, 5, 6] as [UInt64]) func firesLikeASortedList(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        let tick: UInt64 = [100, 128, 200][Int(seed % 3)]
        let start = seed % 2 == 0 ? 0 : UInt64.random(in: 0...(1 << 50), using: &random)
        var wheel = TimingWheel<Int>(tickMicroseconds: tick, now: start)
        var oracle: [Int: (tick: UInt64, token: TimingWheel<Int>.Token)] = [:]
        var now = start
        var next = 0
        for step in 0..<4_000 {
            for _ in 0..<Int.random(in: 0...4, using: &random) {
                let distance = UInt64.random(in: 0...(1 << UInt64.random(in: 0...34, using: &random)), using: &random)
                let token = wheel.insert(next, at: now + distance)
                oracle[next] = (max((now + distance + tick - 1) / tick, now / tick), token)
                next += 1
            }
            if Bool.random(using: &random), let victim = oracle.keys.min() {
                #expect(wheel.cancel(oracle[victim]!.token) == victim)
                #expect(wheel.cancel(oracle[victim]!.token) == nil)
                oracle[victim] = nil
            }
            now += UInt64.random(in: 0...(1 << UInt64.random(in: 0...26, using: &random)), using: &random)
            var fired: Set<Int> = []
            let limit = Bool.random(using: &random) ? Int.max : 3
            while !wheel.advance(to: now, limit: limit, { #expect(fired.insert($0).inserted) }) {}
            let due = Set(oracle.filter { $0.value.tick <= now / tick }.keys)
            #expect(fired == due, "seed \(seed), step \(step)")
            for element in due { oracle[element] = nil }
            #expect(wheel.count == oracle.count)
            let earliest = oracle.values.map(\.tick).min()
            #expect((wheel.nextDeadline == nil) == (earliest == nil))
            if let earliest, let deadline = wheel.nextDeadline {
                #expect(deadline <= earliest * tick && deadline > now)
            }
        }
    }

    @Test func neverFiresEarly() {
        var wheel = TimingWheel<Int>(tickMicroseconds: 100)
        _ = wheel.insert(1, at: 101)
        var fired: [Int] = []
        wheel.advance(to: 199) { fired.append($0) }
        #expect(fired.isEmpty)
        wheel.advance(to: 200) { fired.append($0) }
        #expect(fired == [1])
    }

    @Test func aDeadlineInThePastFiresAtTheNextAdvance() {
        var wheel = TimingWheel<Int>(tickMicroseconds: 100, now: 1_000_000)
        _ = wheel.insert(1, at: 5)
        #expect(wheel.nextDeadline == 1_000_000)
        var fired: [Int] = []
        wheel.advance(to: 1_000_000) { fired.append($0) }
        #expect(fired == [1])
    }

    @Test func crossesEveryBoundaryOfItsLevels() {
        for power in 1...10 {
            let boundary = UInt64(1) << UInt64(power * 6)
            for offset in [-2, -1, 0, 1, 2] as [Int64] {
                var wheel = TimingWheel<Int>(tickMicroseconds: 1, now: boundary - 3)
                let deadline = UInt64(Int64(boundary) + offset)
                _ = wheel.insert(1, at: deadline)
                var fired: [UInt64] = []
                for now in (boundary - 3)...(boundary + 3) { wheel.advance(to: now) { _ in fired.append(now) } }
                #expect(fired == [deadline])
            }
        }
    }

    @Test func aJumpOfTheClockFiresAllThatIsDueAndNothingElse() {
        var wheel = TimingWheel<Int>(tickMicroseconds: 100)
        for index in 0..<1_000 { _ = wheel.insert(index, at: UInt64(index) * 1_000_003) }
        var fired = 0
        wheel.advance(to: 500 * 1_000_003) { _ in fired += 1 }
        #expect(fired == 501)
        wheel.advance(to: 3) { _ in fired += 1 }
        #expect(fired == 501)
        wheel.advance(to: .max / 2) { _ in fired += 1 }
        #expect(fired == 1_000)
        #expect(wheel.count == 0 && wheel.nextDeadline == nil)
    }

    @Test func anAdvanceDoesNoMoreThanItsLimit() {
        var wheel = TimingWheel<Int>(tickMicroseconds: 100)
        let tokens = (0..<1_000).map { wheel.insert($0, at: 90_000) }
        var fired = 0
        var rounds = 0
        while !wheel.advance(to: 100_000, limit: 64, { _ in fired += 1 }) {
            rounds += 1
            #expect(fired <= 64 * rounds)
            #expect((wheel.nextDeadline ?? .max) <= 100_000)
            // Half done: what is cancelled now does not fire.
            if fired == 0 { wheel.cancel(tokens[0]) }
        }
        #expect(fired == 999 && rounds > 10)
    }

    @Test func aTokenOutlivesItsTimerHarmlessly() {
        var wheel = TimingWheel<Int>(tickMicroseconds: 100)
        let first = wheel.insert(1, at: 100)
        wheel.cancel(first)
        let second = wheel.insert(2, at: 100)
        #expect(wheel.cancel(first) == nil)
        #expect(wheel.cancel(second) == 2)
    }

    @Test func holdsAMillionTimers() {
        var wheel = TimingWheel<Int>(tickMicroseconds: 100, reservedCapacity: 1_000_000)
        var random = SeededGenerator(seed: 7)
        let tokens = (0..<1_000_000).map { wheel.insert($0, at: UInt64.random(in: 0..<100_000_000, using: &random)) }
        for index in stride(from: 0, to: 1_000_000, by: 2) { wheel.cancel(tokens[index]) }
        var fired = 0
        wheel.advance(to: 100_000_000) {
            #expect($0 % 2 == 1); fired += 1
        }
        #expect(fired == 500_000)
    }
}
