import Foundation

/// Processor and memory use of this host in thousandths, for KEEPALIVE's answer.
package struct HostLoad {
    private(set) var processor: UInt16 = 0
    private(set) var memory: UInt16 = 0
    private var next: UInt64 = 0

    mutating func refresh(_ now: UInt64) {
        guard now >= next else { return }
        next = now + 1_000_000
        let processors = max(1, sysconf(CInt(_SC_NPROCESSORS_ONLN)))
        processor = Self.read("/proc/loadavg").flatMap { Self.processorUse($0, processors: processors) } ?? processor
        memory = Self.read("/proc/meminfo").flatMap(Self.memoryUse) ?? memory
    }

    private static func read(_ path: String) -> String? { try? String(contentsOfFile: path, encoding: .utf8) }

    /// The last minute's average for each processor, in thousandths. Nil when `text` does not read like /proc/loadavg.
    package static func processorUse(_ text: String, processors: Int) -> UInt16? {
        guard let word = text.split(separator: " ").first, let average = Double(word), average >= 0 else { return nil }
        return UInt16(min(1_000, (average / Double(processors) * 1_000).rounded()))
    }

    /// What of the memory is neither free nor could be made so, in thousandths: a full page cache is no load. Nil when
    /// `text` does not read like /proc/meminfo.
    package static func memoryUse(_ text: String) -> UInt16? {
        var kibibytes: [Substring: UInt64] = [:]
        for line in text.split(separator: "\n") {
            let words = line.split(whereSeparator: { $0 == ":" || $0 == " " })
            guard words.count >= 2 else { continue }
            kibibytes[words[0]] = UInt64(words[1])
        }
        guard let total = kibibytes["MemTotal"], let available = kibibytes["MemAvailable"], total > 0, total < 1 << 50
        else { return nil }
        return UInt16(1_000 * (total - min(available, total)) / total)
    }
}
