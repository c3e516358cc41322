import CDPDKShim
import Glibc

/// Where the lcores and ports of a director lie, and what an operator would want to know of it before traffic comes.
package struct LcoreLayout {
    package struct Lcore {
        /// `control`, `worker 0`.
        package var name: String
        /// Nil when the lcore may run on several CPUs.
        package var cpu: Int?
        /// NUMA node; -1 when unknown.
        package var node: Int
        /// CPUs of the same core, itself included.
        package var siblings: Set<Int>

        package init(name: String, cpu: Int?, node: Int, siblings: Set<Int>) {
            self.name = name
            self.cpu = cpu
            self.node = node
            self.siblings = siblings
        }
    }

    package struct PortPlace {
        package var name: String
        /// NUMA node; -1 when the device has none.
        package var node: Int
        /// Index of the worker that polls it.
        package var worker: Int

        package init(name: String, node: Int, worker: Int) {
            self.name = name
            self.node = node
            self.worker = worker
        }
    }

    package var control: Lcore
    package var workers: [Lcore]
    package var ports: [PortPlace]
    /// CPUs that the kernel keeps free of other work.
    package var isolated: Set<Int>

    package init(control: Lcore, workers: [Lcore], ports: [PortPlace], isolated: Set<Int>) {
        self.control = control
        self.workers = workers
        self.ports = ports
        self.isolated = isolated
    }

    /// What costs speed, a sentence each, with the remedy.
    package var warnings: [String] {
        sharedCPUs + distantPorts + unisolated
    }

    private var sharedCPUs: [String] {
        let all = [control] + workers
        var found: [String] = []
        for (index, one) in all.enumerated() {
            guard let cpu = one.cpu else {
                found.append("\(one.name) may run on several CPUs: pin it, for instance --lcores \(index)@\(index)")
                continue
            }
            for other in all[..<index] {
                guard let otherCPU = other.cpu else { continue }
                if otherCPU == cpu {
                    found.append("\(one.name) and \(other.name) share CPU \(cpu): give each one of its own by --lcores")
                } else if one.siblings.contains(otherCPU) {
                    found.append(
                        "\(one.name) on CPU \(cpu) and \(other.name) on CPU \(otherCPU) are threads of one core: each "
                            + "gets half of it")
                }
            }
        }
        return found
    }

    private var distantPorts: [String] {
        ports.compactMap { port in
            let worker = workers[port.worker]
            guard port.node >= 0, worker.node >= 0, port.node != worker.node else { return nil }
            return
                "port \(port.name) is on NUMA node \(port.node), \(worker.name) on node \(worker.node): choose an lcore "
                + "of the port's node"
        }
    }

    private var unisolated: [String] {
        let cpus = workers.compactMap(\.cpu).filter { !isolated.contains($0) }
        guard !cpus.isEmpty else { return [] }
        let list = Set(cpus).sorted().map(String.init).joined(separator: ",")
        return ["the kernel may run other work on the workers' CPUs: boot with isolcpus=\(list) nohz_full=\(list)"]
    }
}

extension LcoreLayout {
    /// What EAL and the kernel say.
    /// - Parameters:
    ///   - workers: their lcores.
    ///   - ports: of each, its number and the worker that polls it.
    package init(workers: [Int], ports: [(name: String, number: UInt16, worker: Int)]) {
        func lcore(_ name: String, _ number: UInt32) -> Lcore {
            let cpu = shim_lcore_cpu(number)
            let siblings = LcoreLayout.list("/sys/devices/system/cpu/cpu\(cpu)/topology/thread_siblings_list")
            return Lcore(
                name: name, cpu: cpu < 0 ? nil : Int(cpu), node: Int(shim_lcore_socket(number)), siblings: siblings)
        }
        self.init(
            control: lcore("control", shim_main_lcore()),
            workers: workers.enumerated().map { lcore("worker \($0.offset)", UInt32($0.element)) },
            ports: ports.map { PortPlace(name: $0.name, node: Int(shim_port_socket($0.number)), worker: $0.worker) },
            isolated: LcoreLayout.list("/sys/devices/system/cpu/isolated"))
    }

    /// CPUs of a file like `0-3,8`; none when it cannot be read.
    private static func list(_ path: String) -> Set<Int> {
        guard let file = fopen(path, "r") else { return [] }
        defer { fclose(file) }
        var bytes = [UInt8](repeating: 0, count: 4_096)
        let count = fread(&bytes, 1, bytes.count, file)
        return parse(String(decoding: bytes.prefix(count), as: UTF8.self))
    }

    /// The kernel's form of a set of CPUs.
    package static func parse(_ text: String) -> Set<Int> {
        var cpus: Set<Int> = []
        for part in text.split(whereSeparator: { $0 == "," || $0.isWhitespace }) {
            let bounds = part.split(separator: "-").compactMap { Int($0) }
            guard let first = bounds.first, let last = bounds.last, first <= last, last < 65_536 else { continue }
            cpus.formUnion(first...last)
        }
        return cpus
    }
}
