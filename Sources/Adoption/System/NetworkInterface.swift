import Glibc
public import Wire

/// What the kernel says of an interface.
public struct NetworkInterface: Equatable, Sendable {
    public var name: String
    public var mac: MACAddress
    public var mtu: UInt16

    /// nil when there is no such interface.
    public init?(_ name: String) {
        guard name.utf8.count < Int(IFNAMSIZ) else { return nil }
        let descriptor = socket(AF_INET, CInt(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        // struct ifreq: the name, then a union that begins with what was asked for.
        func ask(_ request: UInt) -> [UInt8]? {
            var bytes = [UInt8](repeating: 0, count: 40)
            for (index, byte) in name.utf8.enumerated() { bytes[index] = byte }
            return bytes.withUnsafeMutableBytes({ ioctl(descriptor, request, $0.baseAddress!) }) == 0
                ? Array(bytes.dropFirst(16)) : nil
        }
        guard let hardware = ask(0x8927), let unit = ask(0x8921) else { return nil }
        self.name = name
        mac = MACAddress(hardware[2..<8].reduce(0) { $0 << 8 | UInt64($1) })
        let bytes = unit.withUnsafeBytes { $0.loadUnaligned(as: CInt.self) }
        mtu = UInt16(clamping: bytes)
    }
}
