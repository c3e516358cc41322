import InterCore
import Wire

/// One connection, as its worker knows it. Lives in the flow table's raw memory; `UnsafeMutablePointer<FlowEntry>` is
/// how the worker's stages pass it on.
package struct FlowEntry: BitwiseCopyable {
    package var key: FlowKey
    package var hash: UInt64
    /// Counts the connections that have had this entry.
    package var generation: UInt32 = 0
    package var state: FlowState = .opening
    package var marks: Marks = []
    package var proxy: ProxyIndex = .none
    package var timeToLive: UInt8 = 64

    // MARK: handshake

    /// Bits of the candidate rules that match by port and prefix, canaries drawn.
    package var rules: UInt64 = 0
    /// PSN: the client's ISN + 1.
    package var psn = SequenceNumber(0)
    /// PAN: the server's ISS + 1.
    package var pan = SequenceNumber(0)
    package var options = NegotiatedOptions(clientMSS: 536, serverMSS: 0)
    package var clientWindow: UInt32 = 0
    package var serverWindowEdge = SequenceNumber(0)
    package var serverTimestamp: UInt32 = 0
    package var clientTimestamp: UInt32 = 0
    /// TSC when `serverTimestamp` passed.
    package var serverTimestampAt: UInt64 = 0
    package var clientMAC = MACAddress.zero
    package var originMAC = MACAddress.zero

    // MARK: stream

    /// Highest sequence number that each side has used, plus one. Only sequence-exact resets end a flow.
    package var clientNext = SequenceNumber(0)
    package var serverNext = SequenceNumber(0)
    package var packetsFromClient: UInt32 = 0
    package var packetsToClient: UInt32 = 0

    // MARK: hold

    package var hold = HoldList()
    package var holdStarted: UInt64 = 0

    // MARK: time

    package var lastSeen: UInt64 = 0
    package var deadline: UInt64 = 0
    /// Neighbours in the wheel's slot, and the slot.
    package var timerNext: UInt32 = noFlow
    package var timerPrevious: UInt32 = noFlow
    package var timerSlot: UInt32 = noFlow
    /// Neighbours in the queue of holds.
    package var holdNext: UInt32 = noFlow
    package var holdPrevious: UInt32 = noFlow
    /// Place in the table: bucket x 8 + slot.
    package var place: UInt32 = 0
    /// Resets of the origin that have been sent (asymmetric flows repeat them).
    package var resetsSent: UInt8 = 0
    /// How a committed flow ended; meaningful with `endUntold`.
    package var end: FlowEnd = .flowDone
    /// TSC of the first of them.
    package var firstReset: UInt64 = 0

    package init(key: FlowKey, hash: UInt64) {
        self.key = key
        self.hash = hash
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
    }
}

/// "No entry" among indices.
package let noFlow: UInt32 = 0xFFFF_FFFF

package typealias Flow = UnsafeMutablePointer<FlowEntry>
