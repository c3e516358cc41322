import CRTP
import Control
import InterCore
import Testing

/// A machine with what it has wanted so far, and its timer.
private struct Walk: Hashable {
    var machine: TransferMachine
    var now: UInt64 = 1_000
    var timer: UInt64?
    var proxyVerdicts = 0
    var originVerdicts = 0
    var decisions = 0
    var ends = 0
    var isCalledBack = false
    var last: [TransferAction] = []

    init(isHeld: Bool = true, wantsFirstByte: Bool = false, isOneWay: Bool = false) {
        let timing = TransferTiming(timeoutMicroseconds: 10_000, retransmissionMicroseconds: 4_000)
        machine = TransferMachine(
            isHeld: isHeld, wantsFirstByte: wantsFirstByte, isOneWay: isOneWay, timing: timing)
        var actions: [TransferAction] = []
        machine.begin(now: now, into: &actions)
        absorb(actions)
    }

    mutating func give(_ event: TransferEvent) {
        if event == .timer { now = timer ?? now }
        if event == .timer { timer = nil }
        var actions: [TransferAction] = []
        machine.handle(event, now: now, into: &actions)
        absorb(actions)
    }

    mutating func absorb(_ actions: [TransferAction]) {
        last = actions
        for action in actions {
            switch action {
            case .verdictProxy, .verdictHandOff: proxyVerdicts += 1
            case .verdictOrigin: originVerdicts += 1
            case .setTimer(let deadline): timer = deadline
            case .cancelTimer: timer = nil
            case .decided: decisions += 1
            case .end: ends += 1
            case .terminate: isCalledBack = true
            case .transfer, .resetOrigin, .flowDone, .sample, .countTimeout, .countLateACK, .countUnconfirmed,
                .countMisjudged, .countUnanswered, .handOff, .disown, .countRefusedHandOff:
                break
            }
        }
    }

    func after(_ events: TransferEvent...) -> Walk {
        var walk = self
        for event in events { walk.give(event) }
        return walk
    }
    var state: TransferState { machine.state }
}

private let everyEvent: [TransferEvent] = [
    .ack(attempt: 0), .ack(attempt: 1), .ack(attempt: 7), .nack(attempt: 0, .notFound), .nack(attempt: 1, .busy),
    .nack(attempt: 9, .busy), .firstByte, .flowDone, .terminateResponse, .channelDown(.silent),
    .channelDown(.disconnected),
    .channelDown(.restarted), .channelDown(.administrative), .committed, .aborted(.verdictOrigin), .aborted(.backstop),
    .flowEnded(.flowDone), .requestRepeated, .timer,
]

@Suite struct TransferMachineTests {
    /// Every event in every state that can be reached, each of them twice, to a depth at which all states have met all
    /// others. The rules of a transfer hold in each.
    @Test(arguments: [(true, false), (true, true), (false, false)])
    func everyEventInEveryStateTwice(isHeld: Bool, wantsFirstByte: Bool) {
        var seen: Set<Walk> = []
        var frontier: Set<Walk> = [Walk(isHeld: isHeld, wantsFirstByte: wantsFirstByte)]
        var statesMet: Set<TransferState> = []
        for _ in 0..<7 {
            var next: Set<Walk> = []
            for walk in frontier {
                statesMet.insert(walk.state)
                for event in everyEvent {
                    let once = walk.after(event)
                    check(once, from: walk, event)
                    let twice = once.after(event)
                    check(twice, from: once, event)
                    var forgetful = once
                    forgetful.last = []
                    if seen.insert(forgetful).inserted { next.insert(forgetful) }
                }
            }
            frontier = next
        }
        let all = Set(TransferState.allCases)
        #expect(statesMet == (isHeld ? all.subtracting([.observing]) : [.observing, .ended]))
    }

    /// A proxy that is not asked hears nothing before the worker's word, and is never called back; the origin gets no
    /// request once it has heard.
    @Test func everyEventInEveryStateOfAHandOff() {
        var seen: Set<Walk> = []
        var frontier: Set<Walk> = [Walk(isOneWay: true)]
        var statesMet: Set<TransferState> = []
        for _ in 0..<7 {
            var next: Set<Walk> = []
            for walk in frontier {
                statesMet.insert(walk.state)
                for event in everyEvent {
                    let once = walk.after(event)
                    check(once, from: walk, event)
                    #expect(!once.isCalledBack && once.originVerdicts == 0, "\(walk.state) \(event)")
                    let tells = once.last.contains { if case .handOff = $0 { true } else { false } }
                    #expect(!tells || event == .committed || event == .requestRepeated, "\(walk.state) \(event)")
                    // What the worker has given to the origin is never handed off.
                    if case .aborted = event, walk.machine.attempts == 0 {
                        #expect(once.after(.committed).machine.attempts == 0 && once.state == .ended, "\(walk.state)")
                    }
                    var forgetful = once
                    forgetful.last = []
                    // They differ by no more than their number.
                    if forgetful.machine.attempts < 4, seen.insert(forgetful).inserted { next.insert(forgetful) }
                }
            }
            frontier = next
        }
        #expect(statesMet == [.granting, .committed, .closing, .ended])
    }

    private func check(_ walk: Walk, from before: Walk, _ event: TransferEvent) {
        let context = "\(before.state) \(event) -> \(walk.state)"
        #expect(walk.proxyVerdicts <= 1 && walk.decisions <= 1 && walk.ends <= 1, "\(context)")
        // The verdict "proxy" never follows the verdict "origin": a recalled adoption gets no request.
        let isProxyVerdictNow = walk.proxyVerdicts > before.proxyVerdicts
        #expect(!isProxyVerdictNow || (before.originVerdicts == 0 && !before.isCalledBack), "\(context)")
        #expect(walk.originVerdicts <= 1 && (walk.originVerdicts == 0 || walk.proxyVerdicts == 0), "\(context)")
        if walk.machine.state == .observing { #expect(walk.originVerdicts + walk.proxyVerdicts == 0) }
        // Nothing waits for ever: a timer runs in every state but a commit that the worker has confirmed.
        if walk.state != .ended && walk.state != .committed { #expect(walk.timer != nil, "\(context)") }
        // What has ended is silent, and was decided.
        if before.state == .ended { #expect(walk.last.isEmpty, "\(context)") }
        if walk.state == .ended { #expect(walk.ends == 1 && walk.decisions == 1 && walk.timer == nil, "\(context)") }
    }

    /// With nothing but timers, everything but a commit comes to its end.
    @Test func timersAloneDrainEveryState() {
        var frontier = [Walk()]
        for _ in 0..<3 { frontier += frontier.flatMap { walk in everyEvent.map { walk.after($0) } } }
        for start in Set(frontier) {
            var walk = start
            var steps = 0
            while walk.timer != nil, steps < 100 {
                walk.give(.timer)
                steps += 1
            }
            #expect(walk.state == .ended || walk.state == .committed)
        }
    }

    // MARK: Named races

    @Test func ackCommits() {
        let walk = Walk().after(.ack(attempt: 0))
        #expect(walk.state == .granting && walk.last.contains(.verdictProxy(resetOrigin: true)))
        #expect(walk.after(.committed).state == .committed)
        #expect(walk.after(.committed).machine.outcome?.ending == .committed)
    }

    @Test func ackOfACopyThatWasNeverSentIsNothing() {
        let walk = Walk().after(.ack(attempt: 1))
        #expect(walk.state == .asking && walk.last.isEmpty)
        #expect(Walk().after(.timer, .ack(attempt: 1)).state == .granting)
    }

    @Test func oneRetransmissionThenTimeout() {
        var walk = Walk().after(.timer)
        #expect(walk.last.contains(.transfer(attempt: 1, validMicroseconds: 6_000)) && walk.timer == 11_000)
        walk.give(.timer)
        #expect(walk.state == .recalling && walk.now == 11_000)
        #expect(walk.last.contains(.verdictOrigin) && walk.last.contains(.terminate(.cancel)))
    }

    @Test func ackAfterTimeoutIsCalledBackAsLateAndMeasured() {
        let walk = Walk().after(.timer, .timer, .ack(attempt: 0))
        #expect(walk.state == .recalling && walk.proxyVerdicts == 0)
        #expect(walk.last.contains(.terminate(.late)) && walk.last.contains(.countLateACK))
        #expect(walk.last.contains(.sample(microseconds: 10_000)))
    }

    @Test func ackAfterTerminateWasAnsweredIsCalledBackAgain() {
        let walk = Walk().after(.timer, .timer, .terminateResponse)
        #expect(walk.state == .recalled)
        #expect(walk.after(.ack(attempt: 1)).state == .recalling)
        #expect(walk.after(.aborted(.verdictOrigin), .timer).state == .ended)
    }

    @Test func duplicateACKsDoNothing() {
        let granting = Walk().after(.ack(attempt: 0))
        #expect(granting.after(.ack(attempt: 0)).last.isEmpty)
        #expect(granting.after(.committed, .ack(attempt: 0)).last.isEmpty)
    }

    @Test func aNACKAfterTheACKChangesNothing() {
        let walk = Walk().after(.ack(attempt: 0), .nack(attempt: 0, .busy))
        #expect(walk.state == .granting && walk.last.isEmpty)
    }

    @Test func anACKAfterTheNACKIsCalledBack() {
        let walk = Walk().after(.nack(attempt: 0, .notFound), .ack(attempt: 0))
        #expect(walk.state == .recalling && walk.proxyVerdicts == 0)
    }

    @Test func aNACKNeedsNoTerminate() {
        let walk = Walk().after(.nack(attempt: 0, .notFound))
        #expect(!walk.isCalledBack && walk.last.contains(.verdictOrigin))
        #expect(walk.after(.aborted(.verdictOrigin)).state == .ended)
    }

    @Test func aLostTerminateIsRepeatedWithBackOffForTwoMinutes() {
        var walk = Walk().after(.timer, .timer)
        let since = walk.now
        var times: [UInt64] = []
        while walk.state == .recalling {
            walk.give(.timer)
            if walk.last.contains(.terminate(.cancel)) { times.append(walk.now - since) }
        }
        #expect(times.prefix(4) == [20_000, 60_000, 140_000, 300_000])
        #expect(times.last! >= 115_000_000 && walk.now - since >= 120_000_000)
        #expect(times.count < 50 && walk.state == .ended && walk.last.contains(.countUnanswered))
    }

    @Test func theWorkerAbortsAfterTheACK() {
        let walk = Walk().after(.ack(attempt: 0), .aborted(.backstop))
        #expect(walk.state == .recalling && walk.last.contains(.terminate(.late)))
        #expect(walk.machine.outcome == TransferOutcome(.aborted, abort: .backstop))
    }

    @Test func theWorkerAbortsWhileTheAgentIsAsked() {
        let walk = Walk().after(.aborted(.clientReset))
        #expect(walk.state == .recalling && walk.originVerdicts == 0 && walk.last.contains(.terminate(.cancel)))
    }

    @Test func anAgentThatStartedAnewHasNothingToBeCalledBack() {
        let walk = Walk().after(.channelDown(.restarted))
        #expect(walk.state == .releasing && !walk.isCalledBack && walk.last.contains(.verdictOrigin))
        #expect(Walk().after(.timer, .timer, .channelDown(.restarted)).state == .recalled)
    }

    @Test func aSilentChannelGivesTheRequestToTheOriginAtOnce() {
        let walk = Walk().after(.channelDown(.silent))
        #expect(walk.state == .recalling && walk.last.contains(.verdictOrigin))
    }

    @Test func aCommittedFlowOutlivesItsChannel() {
        let walk = Walk().after(.ack(attempt: 0), .committed, .channelDown(.silent))
        #expect(walk.state == .committed && walk.last.isEmpty)
    }

    @Test func aCommittedFlowDiesWithItsAgent() {
        let walk = Walk().after(.ack(attempt: 0), .committed, .channelDown(.restarted))
        #expect(walk.state == .closing && walk.last.contains(.flowDone))
        // The verdict is on its way to the worker; the end of the flow follows it on the same ring.
        let granting = Walk().after(.ack(attempt: 0), .channelDown(.restarted))
        #expect(granting.state == .closing && granting.last.contains(.flowDone))
    }

    @Test func flowDoneMayOvertakeTheWorkersWord() {
        let walk = Walk().after(.ack(attempt: 0), .flowDone)
        #expect(walk.state == .closing && walk.last.contains(.flowDone))
        #expect(walk.machine.outcome?.ending == .committed)
        #expect(walk.after(.committed, .flowEnded(.flowDone)).state == .ended)
    }

    @Test func firstByteResetsTheOriginOnce() {
        let walk = Walk(wantsFirstByte: true).after(.ack(attempt: 0))
        #expect(walk.last.contains(.verdictProxy(resetOrigin: false)))
        #expect(walk.after(.committed, .firstByte).last == [.resetOrigin])
        #expect(walk.after(.committed, .firstByte, .firstByte).last.isEmpty)
        #expect(walk.after(.firstByte, .committed).last.contains(.cancelTimer))
        // Lost on the way: the end of the flow does it, or the timer.
        #expect(walk.after(.committed, .flowDone).last.starts(with: [.resetOrigin, .flowDone]))
        #expect(walk.after(.committed, .timer).last == [.resetOrigin])
    }

    @Test func aWorkerThatNeverAnswersIsTakenForCommitted() {
        let walk = Walk().after(.ack(attempt: 0), .timer)
        #expect(walk.state == .committed && walk.last.contains(.countUnconfirmed))
        #expect(walk.after(.aborted(.bound)).state == .recalling)
        #expect(walk.after(.flowDone, .flowEnded(.flowDone)).state == .ended)
        #expect(walk.after(.timer).state == .ended)
    }

    // MARK: A second try

    private func passedOn(_ walk: Walk, by event: TransferEvent) -> (walk: Walk, outcome: TransferOutcome) {
        var walk = walk
        if event == .timer { walk.now = walk.timer ?? walk.now }
        #expect(walk.machine.endsAsking(event, now: walk.now))
        var actions: [TransferAction] = []
        let outcome = walk.machine.passOn(event, now: walk.now, into: &actions)
        walk.absorb(actions)
        return (walk, outcome)
    }

    @Test func whatEndsTheAskingMayBePassedOnAndNothingElse() {
        let asking = Walk()
        let ends: [TransferEvent] = [
            .nack(attempt: 0, .busy), .flowDone, .channelDown(.silent), .channelDown(.disconnected),
            .channelDown(.restarted), .channelDown(.administrative),
        ]
        for event in everyEvent {
            #expect(
                asking.machine.endsAsking(event, now: asking.now)
                    == (ends.contains(event) || event == .nack(attempt: 0, .notFound)))
        }
        #expect(!asking.machine.endsAsking(.timer, now: 10_999) && asking.machine.endsAsking(.timer, now: 11_000))
        for walk in [asking.after(.ack(attempt: 0)), asking.after(.nack(attempt: 0, .busy)), Walk(isHeld: false)] {
            for event in everyEvent { #expect(!walk.machine.endsAsking(event, now: 11_000)) }
        }
    }

    /// Whatever comes afterwards: no verdict, nothing said of how the request ended, and an ACK is called back.
    @Test func whoHasPassedOnGivesNoVerdictEver() {
        for start in [TransferEvent.nack(attempt: 0, .busy), .timer, .flowDone, .channelDown(.silent)] {
            let first = start == .timer ? Walk().after(.timer) : Walk()
            var frontier = [passedOn(first, by: start).walk]
            for _ in 0..<3 {
                frontier = frontier.flatMap { walk in everyEvent.map { walk.after($0) } }
                for walk in frontier {
                    #expect(walk.proxyVerdicts + walk.originVerdicts + walk.decisions == 0)
                    #expect(walk.state.isRecall || walk.state == .ended, "\(start): \(walk.state)")
                    if walk.state == .ended { #expect(walk.ends == 1 && walk.timer == nil) }
                }
                frontier = Array(Set(frontier))
            }
        }
    }

    @Test func theFirstProxysLateACKIsCalledBackAsLate() {
        let silent = passedOn(Walk().after(.timer), by: .timer)
        #expect(silent.outcome == TransferOutcome(.timeout) && silent.walk.last.contains(.terminate(.cancel)))
        let late = silent.walk.after(.ack(attempt: 1))
        #expect(late.last.contains(.terminate(.late)) && late.last.contains(.countLateACK))
        let refused = passedOn(Walk(), by: .nack(attempt: 0, .notFound))
        #expect(refused.outcome == TransferOutcome(.nack, nack: .notFound) && !refused.walk.isCalledBack)
        #expect(refused.walk.after(.ack(attempt: 0)).last.contains(.terminate(.late)))
    }

    @Test func observingAsksAndHoldsNothing() {
        #expect(Walk(isHeld: false).after(.ack(attempt: 0)).machine.outcome?.ending == .observedACK)
        #expect(Walk(isHeld: false).after(.nack(attempt: 0, .policy)).machine.outcome?.reason == "policy")
        #expect(Walk(isHeld: false).after(.timer, .timer).machine.outcome?.ending == .observedTimeout)
    }
}
