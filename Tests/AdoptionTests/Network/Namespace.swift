import Adoption
import Foundation
import Glibc

/// A network namespace of a test's own, and a way to make sockets in it: a socket stays in the namespace of the thread
/// that made it.
struct Namespace: Sendable {
    let name: String

    init(_ name: String) throws {
        self.name = name
        try Command.run(["ip", "netns", "add", name])
        try ip("link", "set", "lo", "up")
    }

    func remove() { _ = try? Command.run(["ip", "netns", "del", name]) }

    @discardableResult
    func ip(_ arguments: String...) throws -> String { try Command.run(["ip", "-n", name] + arguments) }

    @discardableResult
    func run(_ arguments: [String]) throws -> String { try Command.run(["ip", "netns", "exec", name] + arguments) }

    /// Runs `body` on a thread inside the namespace, and waits for it.
    func inside<Result: Sendable>(_ body: @escaping @Sendable () throws -> Result) throws -> Result {
        typealias SetNamespace = @convention(c) (CInt, CInt) -> CInt
        let outcome = Box<Swift.Result<Result, any Error>>()
        let done = OneTimeSignal()
        let path = "/var/run/netns/\(name)"
        Adoption.Thread.detach("inside") {
            let descriptor = open(path, O_RDONLY | O_CLOEXEC)
            let setns = unsafeBitCast(dlsym(nil, "setns"), to: SetNamespace.self)
            if descriptor < 0 || setns(descriptor, 0x4000_0000) != 0 {
                outcome.value = .failure(SystemFailure("setns \(path)"))
            } else {
                outcome.value = Swift.Result(catching: body)
            }
            close(descriptor)
            done.raise()
        }
        done.wait()
        return try outcome.value!.get()
    }

    static var isPossible: Bool { geteuid() == 0 && (try? Command.run(["ip", "netns", "list"])) != nil }
}

final class Box<Value>: @unchecked Sendable {
    var value: Value?
}

/// Waits until `condition` holds, at most ten seconds; nothing depends on how long it takes.
func eventually(_ condition: () throws -> Bool) rethrows -> Bool {
    let deadline = monotonicMicroseconds() + 10_000_000
    while monotonicMicroseconds() < deadline {
        if try condition() { return true }
        usleep(1_000)
    }
    return try condition()
}
