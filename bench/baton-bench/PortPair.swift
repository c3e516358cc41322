import CDPDKShim
import FastPath

/// The two ports of every measurement: one that receives a capture without end, and one that receives nothing. Both
/// discard what they are given to transmit. The peers are given the same two (bench/ports.py).
struct PortPair {
    /// One for each queue.
    let pools: [PacketPool]
    let client: Port
    let server: Port

    /// Packets on their way, in the mempool's caches and as the infinite receiver's copies, besides the capture's own.
    static var sparePackets: Int { 8_192 }

    init(_ options: PortOptions, queues: Int = 1) throws {
        pools = try (0..<queues).map {
            try PacketPool(packets: options.packets + PortPair.sparePackets, index: $0)
        }
        let captures = String(repeating: ",rx_pcap=\(options.capture)", count: queues)
        client = try Port(devargs: "net_pcap0\(captures),infinite_rx=1", pools: pools[...])
        server = try Port(devargs: "net_null0,no-rx=1", pools: pools[...])
    }

    var queues: Int { pools.count }

    func clientQueue(_ index: Int = 0) -> PortQueue { PortQueue(port: client.number, queue: UInt16(index)) }
    func serverQueue(_ index: Int = 0) -> PortQueue { PortQueue(port: server.number, queue: UInt16(index)) }
}
