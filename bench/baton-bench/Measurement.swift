import CDPDKShim
import FastPath
import Foundation
import InterCore

/// What one run has to say. One line of JSON, read by bench/baton.py.
struct Report: Encodable {
    var packets: UInt64
    var seconds: Double
    /// Frequency of the time-stamp counter.
    var hertz: UInt64
    /// Million packets a second.
    var mpps: Double
    /// TSC clocks for each packet, the ports' own work included.
    var clocksPerPacket: Double
    /// What the measured loop counted from its start to its end; not only while the clock ran.
    var counters: [String: UInt64]

    func print() throws { try printLine(self) }
}

/// One line of JSON on standard output.
func printLine(_ value: some Encodable) throws {
    let encoder = JSONEncoder()
    encoder.outputFormatting = .sortedKeys
    Swift.print(String(decoding: try encoder.encode(value), as: UTF8.self))
}

/// Reads a counter of a running lcore twice.
enum Measurement {
    /// - Parameters:
    ///   - received: reads the loop's own count of packets; plain memory that the loop writes.
    ///   - beat: called every few milliseconds, as a living control core would.
    /// - Returns: a report without counters.
    static func take(
        _ options: PortOptions, received: () -> UInt64, beat: () -> Void = {}
    ) -> Report {
        let hertz = Environment.timestampHertz
        idle(options.warmUp, hertz, beat)
        let startTime = Environment.timestamp
        let startCount = received()
        idle(options.seconds, hertz, beat)
        let packets = received() &- startCount
        let clocks = Environment.timestamp &- startTime
        let seconds = Double(clocks) / Double(hertz)
        return Report(
            packets: packets, seconds: seconds, hertz: hertz, mpps: Double(packets) / seconds / 1_000_000,
            clocksPerPacket: packets == 0 ? 0 : Double(clocks) / Double(packets), counters: [:])
    }

    private static func idle(_ seconds: Double, _ hertz: UInt64, _ beat: () -> Void) {
        let end = Environment.timestamp &+ UInt64(seconds * Double(hertz))
        while Environment.timestamp < end {
            beat()
            Thread.sleep(forTimeInterval: 0.002)
        }
    }
}

/// A flag that stops an lcore's loop; read anew in each turn.
struct StopFlag: @unchecked Sendable {
    let pointer: UnsafeMutablePointer<Int32> = .allocate(capacity: 1)
    init() { pointer.initialize(to: 0) }
    func raise() { shim_store_flag(pointer, 1) }
}

/// The first lcore that is not the main one.
func measuredLcore() throws -> Int {
    guard let lcore = Environment.workerLcore(0) else {
        throw Environment.Failure(description: "no lcore to measure on: give EAL two, as in --lcores 0@0,1@1")
    }
    return lcore
}
