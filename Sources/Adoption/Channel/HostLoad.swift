import Glibc

/// Processor and memory use of this host in thousandths, for KEEPALIVE's answer.
struct HostLoad {
    private(set) var processor: UInt16 = 0
    private(set) var memory: UInt16 = 0
    private var next: UInt64 = 0

    mutating func refresh(_ now: UInt64) {
        guard now >= next else { return }
        next = now + 1_000_000
        var averages = [0.0]
        if getloadavg(&averages, 1) == 1 {
            let processors = max(1, sysconf(CInt(_SC_NPROCESSORS_ONLN)))
            processor = UInt16(min(1_000, averages[0] / Double(processors) * 1_000))
        }
        let total = sysconf(CInt(_SC_PHYS_PAGES))
        let free = sysconf(CInt(_SC_AVPHYS_PAGES))
        if total > 0 { memory = UInt16(min(1_000, max(0, (total - free) * 1_000 / total))) }
    }
}
