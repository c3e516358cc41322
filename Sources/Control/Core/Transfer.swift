package import CRTP
package import InterCore

/// Where a transfer stands. The Promela model has the same names.
package enum TransferState: String, Hashable, Sendable, CaseIterable {
    /// Nothing is held; the agent is asked what it would do.
    case observing
    /// The request is held, TRANSFER is out.
    case asking
    /// ACK came; the worker has the verdict "proxy" and has not yet said what it did.
    case granting
    /// The worker has the verdict "origin"; the agent has nothing.
    case releasing
    /// The request is the origin's; TERMINATE is repeated until the agent has answered.
    case recalling
    /// The agent has answered TERMINATE; late datagrams are still recognised for a while.
    case recalled
    /// The flow is the proxy's.
    case committed
    /// The agent has said that the connection is over; the worker removes its entry.
    case closing
    case ended
}

/// What happens to a transfer. The Promela model has the same names.
package enum TransferEvent: Hashable, Sendable {
    // from the agent; session and transaction have matched already
    case ack(attempt: UInt8)
    case nack(attempt: UInt8, NACKReason)
    case firstByte
    /// TERMINATE with cause `flowDone`, its PSN matched.
    case flowDone
    case terminateResponse
    // from the channel
    case channelDown(ChannelDown)
    // from the worker
    case committed
    case aborted(AbortReason)
    case flowEnded(FlowEnd)
    /// Of a connection that was handed off: its client has sent the request again.
    case requestRepeated
    /// The time that `setTimer` asked for has come.
    case timer
}

/// What a transfer wants done, in order.
package enum TransferAction: Hashable, Sendable {
    // to the agent
    case transfer(attempt: UInt8, validMicroseconds: UInt64)
    /// HANDOFF, the first one or again.
    case handOff(attempt: UInt8)
    case terminate(Terminate.Cause)
    // to the worker
    case verdictOrigin
    case verdictProxy(resetOrigin: Bool)
    /// The same; the agent hears of it once the worker has confirmed it.
    case verdictHandOff
    case resetOrigin
    case flowDone
    /// The agent cannot take what was handed off, and nobody else has it.
    case disown
    // the transfer's one timer
    case setTimer(at: UInt64)
    case cancelTimer
    // to the books
    case sample(microseconds: UInt64)
    case countTimeout(sentAt: UInt64)
    case countLateACK
    /// The worker has not said in time what it did.
    case countUnconfirmed
    /// The worker aborted what had been taken for committed.
    case countMisjudged(AbortReason)
    /// The agent never answered TERMINATE.
    case countUnanswered
    case countRefusedHandOff(NACKReason)
    /// How it ended for the client. Once.
    case decided(TransferOutcome)
    /// Nothing more will come: forget it.
    case end
}

/// How a transfer ended for the client, and why.
package struct TransferOutcome: Hashable, Sendable {
    /// The names are the keys of `DirectorStatus.transfers`.
    package enum Ending: Int, Hashable, Sendable, CaseIterable {
        case committed
        /// An agent announced the flow; this director did not transfer it.
        case announced
        case nack
        case timeout
        /// The worker ended the hold by itself.
        case aborted
        case channelDown
        /// The agent gave the adoption up before it was committed.
        case agentGone
        case observedACK, observedNACK, observedTimeout
        // without asking
        case noRule, ruleObserves, ruleSparesCanary, protocolNotSpoken, tooLong
        case noProxy, refusedBefore, bypassed, pendingBound, recallUnderWay
        /// Waited for a busy proxy in vain.
        case shed
        /// UDP: what the client's first datagrams say is no query, or no ClientHello, that can be read in one way only.
        case unreadable
    }

    package var ending: Ending
    package var nack: NACKReason?
    package var abort: AbortReason?

    package init(_ ending: Ending, nack: NACKReason? = nil, abort: AbortReason? = nil) {
        self.ending = ending
        self.nack = nack
        self.abort = abort
    }

    /// The reason in one word: `notFound`, `clientReset`, or the ending itself.
    package var reason: String {
        if let nack { return "\(nack)" }
        if let abort { return "\(abort)" }
        return "\(ending)"
    }
}

/// The lengths of time of one transfer, microseconds.
package struct TransferTiming: Hashable, Sendable {
    /// TO: the request goes to the origin after this.
    package var timeoutMicroseconds: UInt64
    /// Between two copies of TRANSFER; nil for only one.
    package var retransmissionMicroseconds: UInt64?
    /// Copies behind the first one.
    package var retransmissions: UInt8 = 1
    /// The answer tells how quick the agent is.
    package var isMeasured = true
    /// After a verdict the worker answers within this, or counts as silent.
    package var confirmationMicroseconds: UInt64 = 1_000_000
    /// First repetition of TERMINATE; doubles each time, up to the ceiling.
    package var recallMicroseconds: UInt64 = 20_000
    package var recallCeilingMicroseconds: UInt64 = 5_000_000
    /// TERMINATE is repeated at least this long: an agent drops an uncommitted adoption after 120 s by itself.
    package var recallLimitMicroseconds: UInt64 = 125_000_000
    /// How long late datagrams of an answered TERMINATE are still recognised.
    package var lingerMicroseconds: UInt64 = 250_000
    /// `reset-by: proxy`: the origin is reset after this even if `firstByte` was lost.
    package var firstByteMicroseconds: UInt64 = 1_000_000
    /// A commit that the worker never confirmed is forgotten after this.
    package var forgetMicroseconds: UInt64 = 7_200_000_000

    package init(timeoutMicroseconds: UInt64, retransmissionMicroseconds: UInt64? = nil) {
        self.timeoutMicroseconds = timeoutMicroseconds
        self.retransmissionMicroseconds = retransmissionMicroseconds
    }
}
