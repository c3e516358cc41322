import CDPDKShim
import FastPath
import Wire

/// The least that a forwarder can do, in Swift over the shim: receive a burst, perhaps swap the MAC addresses, transmit.
/// Built like `Worker`: a struct that cannot be copied, over raw memory.
struct Forwarder: ~Copyable {
    let client: PortQueue
    let server: PortQueue
    let swapsAddresses: Bool
    let burstSize: UInt16
    let burst: UnsafeMutablePointer<OpaquePointer?>
    let counts: UnsafeMutablePointer<Counts>
    let stopFlag: StopFlag

    /// Written by the loop, read by the main lcore.
    struct Counts {
        var received: UInt64 = 0
        var transmitted: UInt64 = 0
        var dropped: UInt64 = 0
    }

    init(_ ports: PortPair, swapsAddresses: Bool, burstSize: Int, stopFlag: StopFlag) {
        client = ports.clientQueue()
        server = ports.serverQueue()
        self.swapsAddresses = swapsAddresses
        self.burstSize = UInt16(burstSize)
        self.stopFlag = stopFlag
        burst = .allocate(capacity: burstSize)
        burst.initialize(repeating: nil, count: burstSize)
        counts = UnsafeMutableRawPointer.allocate(byteCount: 64, alignment: 64).bindMemory(to: Counts.self, capacity: 1)
        counts.initialize(to: Counts())
    }

    func run() {
        while shim_load_flag(stopFlag.pointer) == 0 {
            forward(from: client, to: server)
            forward(from: server, to: client)
        }
    }

    @inline(__always)
    func forward(from source: PortQueue, to target: PortQueue) {
        let count = shim_receive(source.port, source.queue, burst, burstSize)
        guard count > 0 else { return }
        counts.pointee.received &+= UInt64(count)
        if swapsAddresses { swapAddresses(Int(count)) }
        let sent = shim_transmit(target.port, target.queue, burst, count)
        counts.pointee.transmitted &+= UInt64(sent)
        if sent < count { drop(Int(sent), Int(count)) }
    }

    /// Destination and source of an Ethernet header, 48 bits each, lie in its first twelve bytes.
    @inline(__always)
    func swapAddresses(_ count: Int) {
        var index = 0
        while index < count {
            // The header of a packet further on is not in the cache yet: it was written by the port, or by a device.
            if index &+ 4 < count { shim_prefetch(shim_mbuf_data(burst[index &+ 4].unsafelyUnwrapped)) }
            shim_swap_addresses(shim_mbuf_data(burst[index].unsafelyUnwrapped))
            index &+= 1
        }
    }

    @inline(never)
    func drop(_ first: Int, _ end: Int) {
        counts.pointee.dropped &+= UInt64(end - first)
        var index = first
        while index < end {
            shim_mbuf_free(burst[index]!)
            index &+= 1
        }
    }
}
