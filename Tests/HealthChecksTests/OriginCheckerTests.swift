import Control
import Dispatch
import Foundation
import HealthChecks
import Testing
import Wire

/// Checks of real sockets on this machine.
@Suite struct OriginCheckerTests {
    /// A listening socket of the loopback. Without a backlog nobody listens there, and nobody else gets the port either.
    private final class Listener {
        let descriptor: Int32
        let port: UInt16

        init(backlog: Int32? = 16) {
            descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
            var address = sockaddr_in()
            address.sin_family = sa_family_t(AF_INET)
            address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
            var length = socklen_t(MemoryLayout<sockaddr_in>.size)
            port = withUnsafeMutablePointer(to: &address) { [descriptor] pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    precondition(bind(descriptor, $0, length) == 0)
                    if let backlog { precondition(listen(descriptor, backlog) == 0) }
                    precondition(getsockname(descriptor, $0, &length) == 0)
                }
                return UInt16(bigEndian: pointer.pointee.sin_port)
            }
        }

        func stop() { close(descriptor) }
    }

    private typealias Results = [Int: [OriginCheck]]

    /// What was found of each origin when `isEnough` says so, which is asked after each look.
    private func results(
        _ ports: [UInt16], timeoutMicroseconds: UInt64 = 5_000_000, off: Set<Int> = [],
        until isEnough: (Results) -> Bool
    ) -> Results {
        let servers = ports.enumerated().map { index, port in
            var server = DirectorConfiguration.VirtualServer(
                name: "s\(index)", address: Endpoint("203.0.113.\(index + 1):80")!)
            server.origins = [.init(name: "o", address: Endpoint("127.0.0.1:\(port)")!)]
            server.check.intervalMicroseconds = off.contains(index) ? 0 : 20_000
            server.check.timeoutMicroseconds = timeoutMicroseconds
            return server
        }
        let bell = DispatchSemaphore(value: 0)
        var configuration = DirectorConfiguration()
        configuration.virtualServers = servers
        let checker = OriginChecker(configuration.checkedServers) { bell.signal() }
        defer { checker.shutDown() }
        var found: Results = [:]
        while !isEnough(found) {
            bell.wait()
            for (origin, check) in checker.take() { found[origin, default: []].append(check) }
        }
        return found
    }

    @Test func whoListensIsGoodAndWhoDoesNotIsRefused() {
        let (one, other) = (Listener(), Listener(backlog: nil))
        let found = results([one.port, other.port]) { found in
            (0..<2).allSatisfy { found[$0, default: []].count >= 3 }
        }
        // The loopback has no Ethernet addresses.
        #expect(found[0]?.prefix(3) == [.good(nil), .good(nil), .good(nil)])
        #expect(found[1]?.allSatisfy { $0 == .failed("connection refused") } == true)
        one.stop()
        other.stop()
    }

    @Test func whoeverStopsIsFound() {
        let listener = Listener()
        var isStopped = false
        let found = results([listener.port]) { found in
            if !isStopped, found[0] != nil {
                isStopped = true
                listener.stop()
            }
            return found[0]?.last == .failed("connection refused")
        }
        #expect(found[0]?.first == .good(nil))
    }

    /// A full queue of connections drops SYNs.
    @Test func silenceIsAFailure() {
        let listener = Listener(backlog: 0)
        let fillers = (0..<4).map { _ in
            let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_NONBLOCK.rawValue), 0)
            var address = sockaddr_in()
            address.sin_family = sa_family_t(AF_INET)
            address.sin_port = listener.port.bigEndian
            address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
            withUnsafePointer(to: &address) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    _ = connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
                }
            }
            return descriptor
        }
        let found = results([listener.port], timeoutMicroseconds: 10_000) { $0[0] != nil }
        #expect(found[0]?.first == .failed("no answer in time"))
        for descriptor in fillers { close(descriptor) }
        listener.stop()
    }

    @Test func withoutAnIntervalThereIsNoCheck() {
        let listener = Listener()
        let found = results([listener.port, listener.port], off: [1]) { $0[0, default: []].count >= 3 }
        #expect(found[1] == nil)
        listener.stop()
        // And without any, no thread: shutting down waits for nobody.
        let checker = OriginChecker([]) { Issue.record("nothing was to be checked") }
        #expect(!checker.hasResults)
        checker.shutDown()
    }
}
