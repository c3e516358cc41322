package import CRTP

/// What has become of transfers. `transfers = accepted + refused + cancelled before an answer + deciding`.
package struct TransferCounters: Equatable {
    package var transfers: UInt64 = 0
    package var repeated: UInt64 = 0
    package var accepted: UInt64 = 0
    /// Accepted, but there was nothing to adopt: nothing was held, or UDP.
    package var withoutAdoption: UInt64 = 0
    package var refused: [NACKReason: UInt64] = [:]
    /// Connections that were handed over unasked, copies of what is here already, and those that could not be adopted.
    package var handOffs: UInt64 = 0
    package var handOffsRepeated: UInt64 = 0
    package var handOffsFailed: [NACKReason: UInt64] = [:]
    package var cancelled: UInt64 = 0
    package var lateCancels: UInt64 = 0
    package var mismatched: UInt64 = 0
    package var committed: UInt64 = 0
    package var expired: UInt64 = 0
    package var ended: UInt64 = 0
    package var movedAway: UInt64 = 0
    package var endingsUnanswered: UInt64 = 0
    package var unexpected: UInt64 = 0
}
