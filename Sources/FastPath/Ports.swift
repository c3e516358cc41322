import CDPDKShim
public import Wire

/// DPDK's environment: once in a process's life.
public enum Environment {
    public struct Failure: Error, CustomStringConvertible {
        public let description: String
        public init(description: String) { self.description = description }
    }

    /// Starts EAL with arguments as `rte_eal_init` takes them, the program's name first.
    public static func start(_ arguments: [String]) throws {
        // EAL keeps pointers into its arguments: they are never freed.
        let copies = UnsafeMutablePointer<UnsafeMutablePointer<CChar>>.allocate(capacity: arguments.count + 1)
        for (index, argument) in arguments.enumerated() {
            let text = UnsafeMutablePointer<CChar>.allocate(capacity: argument.utf8.count + 1)
            for (offset, byte) in argument.utf8.enumerated() { text[offset] = CChar(bitPattern: byte) }
            text[argument.utf8.count] = 0
            copies[index] = text
        }
        guard shim_eal_init(Int32(arguments.count), copies) >= 0 else {
            throw Failure(
                description: "DPDK does not start: \(String(cString: shim_error_text())). Arguments: "
                    + arguments.dropFirst().joined(separator: " "))
        }
    }

    public static func stop() { shim_eal_cleanup() }

    public static var timestampHertz: UInt64 { shim_tsc_hertz() }
    public static var timestamp: UInt64 { shim_tsc() }

    /// The lcore of the n-th worker; nil when EAL was not given that many.
    public static func workerLcore(_ index: Int) -> Int? {
        let lcore = shim_worker_lcore(UInt32(index))
        return lcore < 0 ? nil : Int(lcore)
    }

    /// NUMA node of an lcore; -1 when unknown.
    public static func socket(ofLcore lcore: Int) -> Int { Int(shim_lcore_socket(UInt32(lcore))) }

    public static func launch(
        onLcore lcore: Int, _ function: @convention(c) (UnsafeMutableRawPointer?) -> Int32,
        _ argument: UnsafeMutableRawPointer
    ) throws {
        let result = shim_launch(function, argument, UInt32(lcore))
        guard result == 0 else { throw Failure(description: "lcore \(lcore) does not start: error \(result)") }
    }

    public static func wait(forLcore lcore: Int) { shim_wait_lcore(UInt32(lcore)) }
}

/// Packets of all ports and queues.
public struct PacketPool: @unchecked Sendable {
    package let pointer: OpaquePointer
    public let size: Int

    /// - Parameters:
    ///   - index: tells pools of one process apart.
    ///   - socket: NUMA node of the worker's lcore; -1 for any.
    public init(packets: Int, index: Int = 0, socket: Int = -1) throws {
        guard let pointer = shim_pool_make("baton_packets_\(index)", UInt32(packets), 256, Int32(socket)) else {
            throw Environment.Failure(
                description: "no memory for \(packets) packets: \(String(cString: shim_error_text())). "
                    + "Reserve hugepages (hugepages/reserve.sh), or give EAL --no-huge -m MEGABYTES.")
        }
        self.pointer = pointer
        size = packets
    }

    public var available: Int { Int(shim_pool_available(pointer)) }
}

/// A DPDK port, attached and started.
public struct Port: Sendable {
    public let name: String
    public let number: UInt16
    public let mac: MACAddress
    public let queues: [Queue]

    /// A receive and transmit queue, and what tells that it has received something.
    public struct Queue: Sendable {
        public let queue: PortQueue
        /// Descriptors that become readable; empty when the driver has none, and its worker then cannot sleep for long.
        public let waitable: [Int32]
    }

    /// - Parameters:
    ///   - pools: one for each queue; a queue receives into its own.
    ///   - interrupts: whether workers may want to sleep until something comes.
    public init(devargs: String, pools: ArraySlice<PacketPool>, interrupts: Bool = false) throws {
        let number = shim_port_attach(devargs)
        guard number >= 0 else {
            throw Environment.Failure(description: "no port from '\(devargs)': does the interface or PCI device exist?")
        }
        name = devargs
        self.number = UInt16(number)
        let port = StoppedPort(name: devargs, number: self.number, pools: Array(pools))
        if interrupts, let queues = try? port.start(interrupts: true) {
            self.queues = queues
        } else {
            // Not every driver can be configured with interrupts.
            queues = try port.start(interrupts: false)
        }
        var bytes: (UInt8, UInt8, UInt8, UInt8, UInt8, UInt8) = (0, 0, 0, 0, 0, 0)
        withUnsafeMutableBytes(of: &bytes) { raw in
            shim_port_mac(port.number, raw.baseAddress!.assumingMemoryBound(to: UInt8.self))
        }
        mac = withUnsafeBytes(of: bytes) { $0.baseAddress!.wireMAC(0) }
    }

    public func stop() { shim_port_stop(number) }

    /// What its driver has counted since the start.
    public struct Totals: Equatable, Sendable {
        public var receivedPackets: UInt64 = 0
        public var receivedBytes: UInt64 = 0
        public var transmittedPackets: UInt64 = 0
        public var transmittedBytes: UInt64 = 0
        /// Came, and found no buffer or no room.
        public var missed: UInt64 = 0
        public var errors: UInt64 = 0
    }

    /// All 0 where the driver does not count. Not for workers: a driver may ask the kernel.
    public func totals() -> Totals {
        var counted = [UInt64](repeating: 0, count: 6)
        guard shim_port_totals(number, &counted) else { return Totals() }
        return Totals(
            receivedPackets: counted[0], receivedBytes: counted[1], transmittedPackets: counted[2],
            transmittedBytes: counted[3], missed: counted[4], errors: counted[5])
    }

    public var hasLink: Bool { shim_port_link_is_up(number) }
}

/// A port that is attached.
private struct StoppedPort {
    let name: String
    let number: UInt16
    let pools: [PacketPool]

    func start(interrupts: Bool) throws -> [Port.Queue] {
        try check(
            shim_port_configure(number, UInt16(pools.count), interrupts), "configuration for \(pools.count) queue(s)")
        var found: [[Int32]] = []
        for (queue, pool) in pools.enumerated() {
            let before = Set(pollableDescriptors())
            try check(shim_port_queue(number, UInt16(queue), pool.pointer), "set-up of queue \(queue)")
            found.append(pollableDescriptors().filter { !before.contains($0) })
        }
        try check(shim_port_start(number), "start")
        return found.enumerated().map { index, descriptors in
            let interrupt =
                interrupts && descriptors.isEmpty ? shim_queue_interrupt(number, UInt16(index)) : -1
            return Port.Queue(
                queue: PortQueue(port: number, queue: UInt16(index), interrupt: interrupt),
                waitable: interrupt >= 0 ? [interrupt] : descriptors)
        }
    }

    private func check(_ result: Int32, _ what: String) throws {
        guard result == 0 else {
            throw Environment.Failure(description: "port '\(name)': \(what) failed with error \(result)")
        }
    }

    private func pollableDescriptors() -> [Int32] {
        var descriptors = [Int32](repeating: 0, count: 4_096)
        let count = shim_pollable_descriptors(&descriptors, Int32(descriptors.count))
        return Array(descriptors.prefix(Int(count)))
    }
}
