import Adoption
import Foundation
import Glibc
import Wire

/// Client, origin and proxy, each in a namespace of its own, on three wires that end at a test's director.
final class TestNetwork: @unchecked Sendable {
    enum Port: Int, CaseIterable, Sendable { case client, origin, proxy }

    let client: Namespace
    let origin: Namespace
    let proxy: Namespace
    let middle: Namespace
    /// Ethernet addresses of the far ends.
    private(set) var addresses: [Port: [UInt8]] = [:]
    private(set) var sockets: [Port: CInt] = [:]

    static let clientAddress = (v4: "10.77.0.1", v6: "fd77::1")
    static let originAddress = (v4: "10.77.0.80", v6: "fd77::80")
    static let proxyAddress = (v4: "10.77.0.90", v6: "fd77::90")

    init() throws {
        let tag = "\(getpid() % 100_000)\(UInt32.random(in: 0..<10_000))"
        client = try Namespace("bc\(tag)")
        origin = try Namespace("bo\(tag)")
        proxy = try Namespace("bp\(tag)")
        middle = try Namespace("bm\(tag)")
        for port in Port.allCases { try connect(port) }
    }

    func namespace(_ port: Port) -> Namespace {
        switch port {
        case .client: client
        case .origin: origin
        case .proxy: proxy
        }
    }

    private func connect(_ port: Port) throws {
        let far = namespace(port)
        let (near, name) = ("m\(port)", "\(port)0")
        let texts: (v4: String, v6: String) =
            switch port {
            case .client: TestNetwork.clientAddress
            case .origin: TestNetwork.originAddress
            case .proxy: TestNetwork.proxyAddress
            }
        try middle.ip("link", "add", near, "type", "veth", "peer", "name", name, "netns", far.name)
        try middle.run(["sysctl", "-qw", "net.ipv6.conf.\(near).disable_ipv6=1"])
        try far.ip("addr", "add", "\(texts.v4)/24", "dev", name)
        try far.ip("addr", "add", "\(texts.v6)/64", "dev", name, "nodad")
        for (space, device) in [(middle, near), (far, name)] {
            try space.run(["ethtool", "-K", device, "tx", "off", "rx", "off", "tso", "off", "gso", "off", "gro", "off"])
            try space.ip("link", "set", device, "up")
        }
        let text = try far.ip("-o", "link", "show", name)
        let words = text.split(separator: " ")
        let mac = words[words.firstIndex(of: "link/ether")! + 1]
        addresses[port] = mac.split(separator: ":").map { UInt8($0, radix: 16)! }
        sockets[port] = try middle.inside { try TestNetwork.packetSocket(near) }
    }

    private static func packetSocket(_ interface: String) throws -> CInt {
        let everything = UInt16(0x0003).bigEndian
        let descriptor = socket(
            17, CInt(SOCK_RAW.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue), CInt(everything))
        guard descriptor >= 0 else { throw SystemFailure("packet socket") }
        // struct sockaddr_ll
        var address = [UInt8](repeating: 0, count: 20)
        address.withUnsafeMutableBytes { bytes in
            bytes.storeBytes(of: 17, as: UInt16.self)
            bytes.storeBytes(of: everything, toByteOffset: 2, as: UInt16.self)
            bytes.storeBytes(of: CInt(if_nametoindex(interface)), toByteOffset: 4, as: CInt.self)
        }
        let bound = address.withUnsafeBytes {
            bind(descriptor, $0.baseAddress!.assumingMemoryBound(to: sockaddr.self), 20)
        }
        guard bound == 0 else { throw SystemFailure("binding to \(interface)") }
        try setOption(descriptor, SOL_SOCKET, SO_RCVBUF, 4 << 20, "SO_RCVBUF")
        return descriptor
    }

    /// One frame that has arrived at a port; nil when there is none.
    func receive(_ port: Port, _ buffer: inout [UInt8]) -> [UInt8]? {
        while true {
            var address = [UInt8](repeating: 0, count: 20)
            var length = socklen_t(20)
            let count = address.withUnsafeMutableBytes {
                recvfrom(
                    sockets[port]!, &buffer, buffer.count, 0,
                    $0.baseAddress!.assumingMemoryBound(to: sockaddr.self), &length)
            }
            guard count > 0 else { return nil }
            // sll_pkttype 4 is what this host has sent.
            if address[10] != 4 { return Array(buffer[..<count]) }
        }
    }

    func send(_ frame: [UInt8], to port: Port) { _ = Glibc.send(sockets[port]!, frame, frame.count, 0) }

    func remove() {
        for descriptor in sockets.values { close(descriptor) }
        for space in [client, origin, proxy, middle] { space.remove() }
    }
}
