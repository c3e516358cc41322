import Foundation
import Operator
import Testing

@Suite struct ServiceNotificationsTests {
    /// Stands in for systemd: a datagram socket with an abstract name.
    private final class Systemd {
        let name = "@baton-test-\(UUID().uuidString)"
        private let descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_NONBLOCK.rawValue), 0)

        init() {
            var address = sockaddr_un()
            address.sun_family = sa_family_t(AF_UNIX)
            withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: [0] + name.utf8.dropFirst()) }
            let length = socklen_t(MemoryLayout<sockaddr_un>.offset(of: \.sun_path)! + name.utf8.count)
            let descriptor = descriptor
            let bound = withUnsafePointer(to: &address) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(descriptor, $0, length) }
            }
            precondition(bound == 0)
        }

        deinit { close(descriptor) }

        func heard() -> String? {
            var buffer = [UInt8](repeating: 0, count: 512)
            let count = recv(descriptor, &buffer, buffer.count, 0)
            return count < 0 ? nil : String(decoding: buffer.prefix(count), as: UTF8.self)
        }
    }

    @Test func theManagerHearsOfEachStep() {
        let systemd = Systemd()
        var service = ServiceNotifications(socket: systemd.name, watchdogMicroseconds: "2000000", watchdogProcess: nil)
        service.isReady("2 workers")
        #expect(systemd.heard() == "READY=1\nSTATUS=2 workers")
        service.keepAlive(nowMicroseconds: 5_000_000) { true }
        #expect(systemd.heard() == "WATCHDOG=1")
        service.keepAlive(nowMicroseconds: 5_999_999) { true }
        #expect(systemd.heard() == nil, "not before half of the time")
        service.keepAlive(nowMicroseconds: 6_000_000) { false }
        #expect(systemd.heard() == nil, "a worker is dead")
        service.keepAlive(nowMicroseconds: 7_000_000) { true }
        #expect(systemd.heard() == "WATCHDOG=1")
        service.isStopping()
        #expect(systemd.heard() == "STOPPING=1")
    }

    @Test(arguments: [nil, "", "/does/not/exist", String(repeating: "x", count: 300)])
    func withoutAManagerNothingHappens(_ path: String?) {
        var service = ServiceNotifications(socket: path, watchdogMicroseconds: "1000", watchdogProcess: nil)
        service.isReady("")
        service.keepAlive(nowMicroseconds: 1_000_000) { true }
    }

    @Test func anothersWatchdogIsNotOurs() {
        let systemd = Systemd()
        var service = ServiceNotifications(socket: systemd.name, watchdogMicroseconds: "1000", watchdogProcess: "1")
        service.keepAlive(nowMicroseconds: 1_000_000) { true }
        #expect(systemd.heard() == nil)
    }
}
