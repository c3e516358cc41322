import CDPDKShim
import FastPath
import Wire

/// The least that a forwarder can do, in Swift over the shim: receive a burst, perhaps do some work, transmit.
/// Built like `Worker`: a struct that cannot be copied, over raw memory.
struct Forwarder: ~Copyable {
    let client: PortQueue
    let server: PortQueue
    let work: Work
    let burstSize: UInt16
    let burst: UnsafeMutablePointer<OpaquePointer?>
    let counts: UnsafeMutablePointer<Counts>
    let stopFlag: StopFlag

    enum Work {
        case nothing
        /// MAC addresses.
        case swapAddresses
        case answerSYNs
    }

    private let offer = HandshakeOffer(windowScale: 7, sack: true, timestamps: true)
    private let key = CookieKey(
        secret: CookieSecret(low: .random(in: 0 ... .max), high: .random(in: 0 ... .max)), minute: 0)

    /// Written by the loop, read by the main lcore.
    struct Counts {
        var received: UInt64 = 0
        var transmitted: UInt64 = 0
        var dropped: UInt64 = 0
        var answered: UInt64 = 0
    }

    init(_ ports: PortPair, _ work: Work, burstSize: Int, stopFlag: StopFlag) {
        client = ports.clientQueue()
        server = ports.serverQueue()
        self.work = work
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
        switch work {
        case .nothing: break
        case .swapAddresses: swapAddresses(Int(count))
        case .answerSYNs: answerSYNs(Int(count))
        }
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

    /// The capture's SYNs say an MSS and nothing else, so an answer is as long as they.
    @inline(never)
    func answerSYNs(_ count: Int) {
        var index = 0
        while index < count {
            if index &+ 4 < count { shim_prefetch(shim_mbuf_data(burst[index &+ 4].unsafelyUnwrapped)) }
            let packet = burst[index].unsafelyUnwrapped
            let frame = UnsafeMutableRawPointer(shim_mbuf_data(packet))
            let length = Int(shim_mbuf_length(packet))
            let answer = SYNAnswer.answer(
                frame, PacketLayout(of: UnsafeRawPointer(frame), length: length), room: length + 64, offer: offer,
                key: key,
                milliseconds: 0)
            if answer == .answered(length: length) { counts.pointee.answered &+= 1 }
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
