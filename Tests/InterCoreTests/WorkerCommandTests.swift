import InterCore
import Testing

/// A command and the ring's own word lie on one cache line: every verdict costs one, whatever else a command may carry.
@Test func aCommandFitsACacheLine() {
    #expect(MemoryLayout<WorkerCommand>.size + 4 <= 64)
}
