internal import CRTP
package import Wire

/// A connection that an agent hands back between two requests: who offered it, and what has become of the offer. An
/// offer that was refused is none of these: its number is void.
package struct Move: Sendable {
    package enum Phase: Equatable, Sendable {
        /// Another proxy is asked; its transfer lies in this slot.
        case asking(target: Int)
        /// It is the other proxy's. That one hears so until it says that it has begun; then there is no slot.
        case moved(target: Int?)
    }

    package let proxy: Int
    /// The offer's transaction, and its PSN.
    package let offer: UInt32
    package let psn: SequenceNumber
    /// Of the offer's last copy, to be echoed.
    package var attempt: UInt8
    /// Slot of the first proxy's transfer while the other proxy is asked.
    package let source: Int
    package fileprivate(set) var phase: Phase
    /// The other proxy says that it has begun, and the worker has not said yet that it may.
    package var hasBegun = false
    /// One of the two proxies has ended its transfer while the worker had the word.
    package var sourceEnd: TransferEvent?
    package var isTargetOver = false
    /// The agent that offered has started anew: it knows nothing of this, and its numbers mean others.
    package fileprivate(set) var isForgotten = false
    package var tellDelayMicroseconds: UInt64 = 20_000
    fileprivate var timer: TimingWheel<UInt64>.Token?

    package var target: Int? {
        switch phase {
        case .asking(let target): target
        case .moved(let target): target
        }
    }

    package var isOpen: Bool {
        if case .asking = phase { true } else { false }
    }
}

/// Moves that are under way, and those that have been made, as long as their agents may ask. Bounded by `capacity`.
///
/// What was refused is not kept: an agent's offers have rising numbers, so the highest one that is void says it of all
/// that are not here.
package struct MoveTable {
    package static var capacity: Int { 65_536 }
    /// An agent asks for ten seconds.
    package static var answerLifetime: UInt64 { 60_000_000 }
    package static var tellCeiling: UInt64 { 2_000_000 }

    private var moves: [UInt64: Move] = [:]
    private var byOffer: [UInt64: UInt64] = [:]
    private var bySource: [Int: UInt64] = [:]
    private var byTarget: [Int: UInt64] = [:]
    /// By proxy.
    private var highestVoid: [Int: SequenceNumber] = [:]
    private var wheel = TimingWheel<UInt64>(tickMicroseconds: 1_000)
    private var nextNumber: UInt64 = 1
    /// Slots of transfers whose connection stays where it was: they have still to be told.
    package var released: [Int] = []

    package init() {}

    package var isEmpty: Bool { moves.isEmpty }
    package var count: Int { moves.count }
    package var isFull: Bool { moves.count >= Self.capacity }
    package var nextDeadline: UInt64? { wheel.nextDeadline }

    /// A move that is known.
    package subscript(number: UInt64) -> Move {
        get { moves[number]! }
        _modify { yield &moves[number]! }
    }

    package func number(proxy: Int, offer: UInt32) -> UInt64? {
        byOffer[TransferKey(proxy: proxy, transfer: offer).value]
    }
    package func number(source: Int) -> UInt64? { bySource[source] }
    package func number(target: Int) -> UInt64? { byTarget[target] }

    package func isVoid(proxy: Int, offer: UInt32) -> Bool {
        highestVoid[proxy].map { !SequenceNumber(offer).isAfter($0) } ?? false
    }

    /// An offer that is not here will never be taken.
    package mutating func void(proxy: Int, offer: UInt32) {
        if !isVoid(proxy: proxy, offer: offer) { highestVoid[proxy] = SequenceNumber(offer) }
    }

    package mutating func open(
        proxy: Int, offer: UInt32, psn: SequenceNumber, attempt: UInt8, source: Int
    ) -> UInt64 {
        defer { nextNumber += 1 }
        moves[nextNumber] = Move(
            proxy: proxy, offer: offer, psn: psn, attempt: attempt, source: source, phase: .moved(target: nil))
        byOffer[TransferKey(proxy: proxy, transfer: offer).value] = nextNumber
        bySource[source] = nextNumber
        return nextNumber
    }

    /// The proxy whose transfer lies in this slot is asked, instead of whoever was asked before.
    package mutating func ask(_ number: UInt64, target: Int) {
        guard let move = moves[number] else { return }
        if let former = move.target { byTarget[former] = nil }
        moves[number]?.phase = .asking(target: target)
        byTarget[target] = number
    }

    package mutating func moved(_ number: UInt64) {
        guard let move = moves[number], let target = move.target else { return }
        bySource[move.source] = nil
        moves[number]?.phase = .moved(target: target)
    }

    /// The other proxy needs not be told any more. The answer to the first one is kept a while.
    package mutating func settle(_ number: UInt64, now: UInt64) {
        guard let target = moves[number]?.target else { return }
        byTarget[target] = nil
        moves[number]?.phase = .moved(target: nil)
        schedule(number, at: now + Self.answerLifetime)
    }

    /// The offer is void, or nobody will ask any more.
    package mutating func remove(_ number: UInt64) {
        guard let move = moves.removeValue(forKey: number) else { return }
        if let timer = move.timer { wheel.cancel(timer) }
        if let target = move.target { byTarget[target] = nil }
        if bySource[move.source] == number { bySource[move.source] = nil }
        if move.isForgotten { return }
        byOffer[TransferKey(proxy: move.proxy, transfer: move.offer).value] = nil
        void(proxy: move.proxy, offer: move.offer)
    }

    /// Another agent is at this place from now on, or the same one without its memory. What it offered goes on.
    package mutating func forget(proxy: Int) {
        highestVoid[proxy] = nil
        for (key, number) in byOffer where moves[number]?.proxy == proxy {
            byOffer[key] = nil
            moves[number]?.isForgotten = true
        }
    }

    package mutating func schedule(_ number: UInt64, at deadline: UInt64) {
        if let timer = moves[number]?.timer { wheel.cancel(timer) }
        moves[number]?.timer = wheel.insert(number, at: deadline)
    }

    /// Whose time has come.
    package mutating func due(at now: UInt64) -> [UInt64] {
        var due: [UInt64] = []
        wheel.advance(to: now) { due.append($0) }
        for number in due { moves[number]?.timer = nil }
        return due
    }
}
