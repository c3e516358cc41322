internal import CRTP
import Glibc
internal import Logging
import Synchronization
internal import Wire

/// The agent before this one, until it has nothing more to pass on.
final class Predecessor: Sendable {
    let channel: DescriptorChannel
    let greeting: AgentGreeting

    /// The agent of this name that runs here, if its connections can live under `rules`.
    init(_ instance: String, rules: GuardRules) throws {
        do throws(SystemFailure) { channel = try Rendezvous.find(instance) } catch {
            throw Agent.StartFailure(
                description: "\(error). --take-over succeeds a running agent of the same name; start without it")
        }
        try channel.limitWaiting(seconds: 10)
        try channel.send(.hello(version: SuccessionMessage.version))
        guard case .greeting(let bytes) = try channel.receiveMessage().message,
            let greeting = try? AgentGreeting(bytes)
        else { throw DescriptorChannel.SuccessionFailure.unreadable }
        if let obstacle = greeting.obstacle(to: rules) { throw Agent.StartFailure(description: obstacle) }
        self.greeting = greeting
    }

    /// From here until `go` nobody reads the directors' frames.
    func freeze(limits: TransferLedger.Limits) throws -> Inheritance {
        try channel.send(.freeze)
        return try Inheritance(from: channel, limits: limits)
    }

    /// From here on this process is the agent.
    func replace() throws {
        try channel.send(.taken)
        try channel.expect(.go)
        try channel.limitWaiting(seconds: 0)
    }

    /// What it passes on, until it ends. Whatever it still had then has died with it.
    func follow(
        _ numbers: Set<UInt64>, serve: (AdoptedConnection, UInt64) -> Void, ended: (UInt64, UInt64) -> Void
    ) {
        var distant = numbers
        while let (message, passed) = try? channel.receiveMessage() {
            switch (message, passed) {
            case (.ended(let number, let bytesSent), _):
                distant.remove(number)
                ended(number, bytesSent)
            case (.connection(let number, let transaction, let key, let bytesSent), let descriptor?):
                distant.remove(number)
                serve(
                    AdoptedConnection(number: number, descriptor: descriptor, key: key, transaction: transaction),
                    bytesSent)
            default: break
            }
        }
        for number in distant { ended(number, 0) }
    }

    deinit { close(channel.descriptor) }
}

extension Agent {
    /// Waits for a successor and for its predecessor's connections, each on a thread of its own.
    func beginSuccession() {
        Thread.detach("successor") { [self] in
            while let channel = rendezvous.accept() {
                let isSucceeded = meet(channel)
                if isSucceeded { return serveSuccessor(channel) }
                close(channel.descriptor)
            }
        }
        guard let predecessor, let numbers = inheritedNumbers else { return }
        Thread.detach("predecessor") { [self] in
            predecessor.follow(numbers) { connection, bytesSent in
                server.serve(connection, after: bytesSent, ended: { self.hasEnded(connection.number, $0) })
            } ended: { number, bytesSent in
                hasEnded(number, bytesSent)
            }
            logger.notice("the process before this one has passed on everything")
            livingPredecessors.subtract(1, ordering: .releasing)
        }
    }

    private func hasEnded(_ number: UInt64, _ bytesSent: UInt64) {
        loop.tell(.ended(number: number, bytesSent: bytesSent))
    }

    /// A successor's whole visit. True when it is the agent now.
    private func meet(_ channel: DescriptorChannel) -> Bool {
        do {
            try channel.limitWaiting(seconds: 10)
            guard case .hello(SuccessionMessage.version) = try channel.receiveMessage().message else {
                throw DescriptorChannel.SuccessionFailure.unreadable
            }
            try channel.send(.greeting(greeting.encoded))
            // It reads its catalogue now.
            try channel.limitWaiting(seconds: 600)
            try channel.expect(.freeze)
            try channel.limitWaiting(seconds: 10)
        } catch {
            logger.warning("a successor has given up", metadata: ["error": "\(error)"])
            return false
        }
        let handover = Handover(channel, rendezvous: rendezvous.descriptor)
        loop.tell(.handOver(handover))
        handover.isOver.wait()
        return handover.hasSucceeded
    }

    /// The other process is the agent. This one has its connections to bring to a boundary or an end.
    private func serveSuccessor(_ channel: DescriptorChannel) {
        close(rendezvous.descriptor)
        // The successor listens, and knows the connections to come.
        decapsulator?.stop()
        // A successor that does not read does not hold connections up for long: they stay here.
        try? channel.limitWaiting(seconds: 0, sending: 2)
        server.passOn(to: channel)
        isSucceeded.store(true, ordering: .releasing)
        kill(getpid(), SIGUSR1)
        // It says nothing more; it ends.
        while let (message, _) = try? channel.receive(1), !message.isEmpty {}
        isSuccessorGone.store(true, ordering: .releasing)
    }

    /// Serves what is left after a successor has taken over, to its end; with no successor any more, or `isImpatient`,
    /// at most for the configured time.
    public func serveOut(isImpatient: () -> Bool = { false }) {
        var deadline = UInt64.max
        while server.count > 0 || livingPredecessors.load(ordering: .acquiring) > 0 {
            let isHurried = isSuccessorGone.load(ordering: .acquiring) || isImpatient()
            let now = monotonicMicroseconds()
            if isHurried, deadline == .max { deadline = now + configuration.serving.drainMicroseconds }
            guard now < deadline else { break }
            usleep(20_000)
        }
        server.closeAll()
        server.shutDown()
        logger.notice("stopped: another process is the agent")
    }
}
