import InterCore
import Wire

/// What every packet of a connection needs to know of it: the last 20 bytes of its place in the table. Its key lies
/// directly before it, on the same cache line. `Flow` is how the worker's stages pass it on.
///
///     IPv4, 32 bytes:  client 4 | server 4 | ports 4 |                                entry 20
///     IPv6, 64 bytes:  client 16 | server 16 | ports 4 |                              entry 20 | unused 8
///
/// What is seldom wanted lies elsewhere: `FlowLinks` (timers, generation) and, until its fate is decided, `Prelude`.
package struct FlowEntry: BitwiseCopyable {
    package var vlan: VLAN = .untagged
    /// `longestServerStep` in the lower four bits, `longestClientStep` in the upper ones: 20 less than the logarithms.
    private var steps: UInt8 = 0
    private var endValue: UInt8 = 0

    /// Highest sequence number that each side has used, plus one. Only sequence-exact resets end a flow. Of a flow that
    /// the origin has, `clientNext` stays the client's ISN + 1: it tells an old SYN from a new one.
    package var clientNext = SequenceNumber(0)
    package var serverNext = SequenceNumber(0)
    /// The wheel's tick at which the last packet passed (`FlowTimers.tick`). Of a free place: the next free one.
    package var lastSeen: UInt32 = 0
    package var state: FlowState = .opening
    package var proxy: ProxyIndex = .none
    package var marks: Marks = []

    package init(vlan: VLAN) { self.vlan = vlan }

    /// How a committed flow ended; meaningful with `endUntold`.
    package var end: FlowEnd {
        get { FlowEnd(rawValue: endValue) ?? .flowDone }
        set { endValue = newValue.rawValue }
    }

    /// Of a translated flow, instead of the numbers that it has come to, the steps and the end: an entry has room for
    /// either, and who translates need not follow.
    package var translation: PackedTranslation {
        get {
            PackedTranslation(
                sequence: clientNext.value, timestamp: serverNext.value, serverScales: steps, others: endValue)
        }
        set {
            clientNext = SequenceNumber(newValue.sequence)
            serverNext = SequenceNumber(newValue.timestamp)
            steps = newValue.serverScales
            endValue = newValue.others
        }
    }

    /// How far each side may get in one step, in bytes: the other's largest window, 1 MiB at least and 16 MiB at most.
    package static var leastStep: UInt32 { 1 &<< 20 }
    package var longestServerStep: UInt32 { 1 &<< (20 &+ UInt32(steps & 15)) }
    package var longestClientStep: UInt32 { 1 &<< (20 &+ UInt32(steps >> 4)) }

    package mutating func setLongestSteps(clientWindowScale: UInt8, serverWindowScale: UInt8) {
        // A window is at most 2^16 bytes, shifted.
        func step(_ scale: UInt8) -> UInt8 { min(max(scale, 4), 8) &- 4 }
        steps = step(clientWindowScale) | step(serverWindowScale) << 4
    }

    /// What is so, or not, of a flow.
    package struct Marks: OptionSet, BitwiseCopyable {
        package let rawValue: UInt16
        package init(rawValue: UInt16) { self.rawValue = rawValue }

        /// The SYN/ACK was seen (asymmetric: the handshake's ACK).
        package static var handshakeKnown: Marks { .init(rawValue: 1) }
        /// The head is complete and the control core was asked.
        package static var asked: Marks { .init(rawValue: 2) }
        package static var asymmetric: Marks { .init(rawValue: 4) }
        /// Committed, but the origin's reset waits for `resetOrigin`.
        package static var resetPending: Marks { .init(rawValue: 8) }
        package static var clientFinished: Marks { .init(rawValue: 16) }
        package static var serverFinished: Marks { .init(rawValue: 32) }
        /// SMTP: the server's greeting is complete.
        package static var greeted: Marks { .init(rawValue: 64) }
        /// A flow that a proxy announced: numbers are not known.
        package static var announced: Marks { .init(rawValue: 128) }
        /// Closed, and the event ring had no room to say so yet.
        package static var endUntold: Marks { .init(rawValue: 256) }
        /// The origin's, and noted only because it began during the recovery.
        package static var newInRecovery: Marks { .init(rawValue: 512) }
        /// An IPv6 flow: says where the key begins.
        package static var isV6: Marks { .init(rawValue: 1_024) }
        /// The place holds a flow at present.
        package static var live: Marks { .init(rawValue: 2_048) }
        /// A `Prelude` belongs to it.
        package static var hasPrelude: Marks { .init(rawValue: 4_096) }

        /// A virtual server's: the director has shaken hands, and no origin knows of it before it is bound to one.
        package static var answered: Marks { .init(rawValue: 8_192) }
        /// Committed to a proxy that was not asked, and no answer has been acknowledged (`Worker+HandOff.swift`).
        package static var handedOff: Marks { .init(rawValue: 16_384) }
        /// Of a flow that has a proxy, which has been greeted if ever it was to be: that proxy is beyond layer 2, or on the
        /// clients' side.
        package static var detoured: Marks { .init(rawValue: 64) }
        /// What keeps a client's plain segment from the short way.
        package static var closerLook: Marks { .init(rawValue: 64 | 128 | 16_384) }

        // Of flows of datagrams:

        /// DNS: a verdict is for what is held, not for what follows.
        package static var dns: Marks { .init(rawValue: 8_192) }
        /// QUIC: the client has sent a packet with a short header, so an Initial packet is another connection's.
        package static var established: Marks { .init(rawValue: 16_384) }
        /// It came here by its connection identifier: the control core has no transfer of this flow.
        package static var steered: Marks { .init(rawValue: 32_768) }

        @inline(__always)
        package func lacks(_ others: Marks) -> Bool { rawValue & others.rawValue == 0 }
    }
}

/// "No entry" among indices.
package let noFlow: UInt32 = 0xFFFF_FFFF

package typealias Flow = UnsafeMutablePointer<FlowEntry>

/// What only time and control need of a flow, beside its entry.
package struct FlowLinks: BitwiseCopyable {
    /// Neighbours in the wheel's slot (`FlowTimers`).
    package var next: UInt32 = noFlow
    package var previous: UInt32 = noFlow
    /// Counts the connections that have had this place.
    package var generation: UInt32 = 0
    /// Place of the flow's `Prelude`.
    package var prelude: UInt32 = noFlow
}

/// What a worker knows of a connection from its SYN until its fate is decided: what a TRANSFER tells, what a reset of
/// the origin needs, and the packets that are held. Few flows are in that state at once, so preludes have a pool of
/// their own.
package struct Prelude: BitwiseCopyable {
    /// Bits of the candidate rules that match by port and prefix, canaries drawn.
    package var rules: UInt64 = 0
    /// Of the table whose rules these are.
    package var rulesGeneration: UInt32 = 0

    // MARK: handshake

    /// The client's ISN + 1.
    package var firstPSN = SequenceNumber(0)
    /// PSN: the first byte of the request that is awaited or held; of the first one, `firstPSN`.
    package var psn = SequenceNumber(0)
    /// PAN: the next byte to the client; before the first answer, the server's ISS + 1.
    package var pan = SequenceNumber(0)
    package var options = NegotiatedOptions(clientMSS: 536, serverMSS: 0)
    package var timeToLive: UInt8 = 64
    package var clientWindow: UInt32 = 0
    package var serverWindowEdge = SequenceNumber(0)
    package var serverTimestamp: UInt32 = 0
    package var clientTimestamp: UInt32 = 0
    /// TSC when `serverTimestamp` passed.
    package var serverTimestampAt: UInt64 = 0
    package var clientMAC = MACAddress.zero
    package var originMAC = MACAddress.zero

    // MARK: hold

    package var hold = HoldList()
    /// Of a flow that was handed off: when the control core last heard of it.
    package var holdStarted: UInt64 = 0
    /// Neighbours in the queue of holds; of a free prelude, `holdNext` is the next free one.
    package var holdNext: UInt32 = noFlow
    package var holdPrevious: UInt32 = noFlow

    // MARK: later requests (`Worker+Following.swift`)

    /// Where the origin's answer is.
    package enum Following: UInt8, BitwiseCopyable {
        case none
        case answer
        /// Over: `pan` is its end.
        case answered
    }

    package var answer = ResponseFollower()
    /// Of the request that is held, if its answer can be followed.
    package var requestLength: UInt16 = 0
    package var following = Following.none

    // MARK: virtual servers (`Virtual`)

    /// Place of the virtual server in its table.
    package var virtualServer: UInt8 = 0
    /// SYNs that have been sent to origins.
    package var bindTries: UInt8 = 0
    /// Of a replay: what its order is called, and whether the server has answered.
    package var ticket: UInt32 = 0
    package var isShaken = false

    // MARK: the origin's reset

    /// Resets of the origin that have been sent (asymmetric flows repeat them).
    package var resetsSent: UInt8 = 0
    /// TSC of the first of them.
    package var firstReset: UInt64 = 0

    package init() {}
}
