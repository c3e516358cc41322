import CDPDKShim
import FastPath

/// The two ports of every measurement: one that receives a capture without end, and one that receives nothing. Both
/// discard what they are given to transmit. The peers are given the same two (bench/ports.py).
struct PortPair {
    let pool: PacketPool
    let client: Port
    let server: Port

    /// Packets on their way, in the mempool's caches and as the infinite receiver's copies, besides the capture's own.
    static var sparePackets: Int { 8_192 }

    init(_ options: PortOptions) throws {
        pool = try PacketPool(packets: options.packets + PortPair.sparePackets)
        client = try Port(devargs: "net_pcap0,rx_pcap=\(options.capture),infinite_rx=1", pools: [pool])
        server = try Port(devargs: "net_null0,no-rx=1", pools: [pool])
    }

    var clientQueue: PortQueue { PortQueue(port: client.number, queue: 0) }
    var serverQueue: PortQueue { PortQueue(port: server.number, queue: 0) }
}
