/// Which sequence numbers have come: a ring of blocks of 64 bits over the latest numbers (RFC 6479 section 2), so that
/// the window moves without shifting. Ask only about numbers whose frame's tag is right.
package struct ReplayWindow: Sendable {
    /// Numbers below the highest that are still told apart.
    package static var size: UInt64 { 1_024 }
    private static var blockCount: UInt64 { 17 }

    /// Bit `n % 64` of block `n / 64 % blockCount`.
    private var blocks = InlineArray<17, UInt64>(repeating: 0)
    /// The highest number that has come; numbers start at 1.
    package private(set) var highest: UInt64 = 0

    package init() {}

    /// Of a session that goes on in another process: every number up to `highest` counts as come. What was overtaken on
    /// its way is lost by it, and is said again.
    package init(after highest: UInt64) {
        guard highest > 0 else { return }
        self.highest = highest
        for index in blocks.indices { blocks[index] = .max }
        blocks[Int(highest / 64 % Self.blockCount)] = .max >> (63 - highest % 64)
    }

    /// Takes note of `sequence`; false when it has come before, or is too old to know.
    package mutating func admit(_ sequence: UInt64) -> Bool {
        guard sequence > 0, sequence > highest || highest - sequence < Self.size else { return false }
        let block = sequence / 64
        if sequence > highest {
            let newBlocks = min(block - highest / 64, Self.blockCount)
            var index: UInt64 = 0
            while index < newBlocks {
                blocks[Int((highest / 64 + 1 + index) % Self.blockCount)] = 0
                index += 1
            }
            highest = sequence
        }
        let bit = UInt64(1) << (sequence % 64)
        let slot = Int(block % Self.blockCount)
        guard blocks[slot] & bit == 0 else { return false }
        blocks[slot] |= bit
        return true
    }
}
