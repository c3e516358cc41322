import Glibc
public import Logging
internal import Wire

/// The part of an agent that keeps capabilities (CAP_NET_ADMIN, and CAP_NET_BIND_SERVICE for low ports), a process of
/// its own: installs the guard, makes sockets of connections, undoes and commits them. It reads nothing but fixed-size
/// requests, of a process that it does not trust: it adopts only connections of the origins that it was started for,
/// with the marks that it was started with, and only so many at once.
///
/// It holds on to each socket until it is committed. When the serving process is gone, whatever the reason, it forgets
/// what is left without a packet, leaves the guard's rules in place, and ends.
public struct AdoptingProcess {
    public let settings: AdoptingSettings
    private let channel: DescriptorChannel
    private let logger: Logger
    private let adopter: Adopter
    private var sockets: [UInt32: Held] = [:]
    private var nextHandle: UInt32 = 1
    /// The serving process takes no answers.
    private var isDeaf = false

    /// A socket that is mute, and how it came to be: what can be asked of it depends on that.
    private struct Held {
        enum Kind { case adopted, opened, suspended }
        var descriptor: CInt
        var kind: Kind
    }

    /// `descriptor` is the channel to the process that has started this one.
    public init(_ settings: AdoptingSettings, descriptor: CInt, logger: Logger) {
        self.settings = settings
        self.logger = logger
        channel = DescriptorChannel(descriptor: descriptor)
        adopter = Adopter(
            uncommittedMark: settings.guardRules.uncommittedMark, committedMark: settings.committedMark,
            suspendedMark: settings.guardRules.suspendedMark,
            mtu: settings.mtu)
        _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
    }

    /// Runs until the other process has finished or is gone. Gives the exit status.
    public mutating func run() -> Int32 {
        AdoptingProcess.ignoreSignals()
        do {
            try prepare()
            try channel.send(AdopterReply.done(handle: 0).encoded)
        } catch {
            logger.critical("cannot start: \(error)")
            try? channel.send(AdopterReply.failed(.refused("see the line before")).encoded)
            return 1
        }
        defer { forgetAll() }
        while let (message, passed) = try? channel.receive(AdopterRequest.bytes, takesDescriptor: true),
            !message.isEmpty
        {
            defer { if let passed { close(passed) } }
            guard let request = AdopterRequest(message) else {
                logger.critical("the serving process has sent what is no request: ending")
                return 1
            }
            guard answer(request, passed), !isDeaf else { return 0 }
        }
        return 0
    }

    /// SIGTERM to the whole group is the serving process's to answer: it drains, and needs this process meanwhile.
    private static func ignoreSignals() {
        for number in [SIGTERM, SIGINT, SIGHUP, SIGPIPE] { signal(number, SIG_IGN) }
    }

    private func prepare() throws {
        raiseDescriptorLimit()
        var user: Privileges.User?
        if let name = settings.user {
            user = Privileges.User(name)
            if user == nil { throw AdoptionFailure.refused("there is no user \(name)") }
        }
        let hasLowPort = settings.guardRules.services.contains { $0.port < 1_024 }
        try Privileges.reduce(
            to: hasLowPort ? [.networkAdministration, .lowPorts] : .networkAdministration, user: user)
        if settings.installsGuard { _ = try Guard.install(settings.guardRules) }
    }

    /// false after the last request.
    private mutating func answer(_ request: AdopterRequest, _ passed: CInt?) -> Bool {
        do throws(AdoptionFailure) {
            switch request {
            case .adopt(let state):
                try admit(state)
                try keep(adopter.adopt(state), .adopted)
            case .open(let state, let room):
                try admit(state)
                try keep(adopter.open(state, room: room), .opened)
            case .leaveRepair(let handle):
                let held = try held(handle, [.opened, .suspended])
                if held.kind == .opened {
                    try adopter.seal(held.descriptor)
                } else {
                    try adopter.leaveRepair(held.descriptor)
                }
                try reply(.done(handle: handle))
            case .commit(let handle):
                let descriptor = try take(handle, [.adopted, .opened])
                defer { close(descriptor) }
                do { try adopter.commit(descriptor) } catch { throw .system(error) }
                try reply(.done(handle: 0))
            case .forget(let handle):
                adopter.forget(try take(handle, [.adopted, .opened, .suspended]))
                try reply(.done(handle: 0))
            case .suspend(let isQuiet): try suspend(passed, isQuiet: isQuiet)
            case .resume(let handle):
                let descriptor = try take(handle, [.suspended])
                defer { close(descriptor) }
                do { try adopter.unmute(descriptor) } catch { throw .system(error) }
                try reply(.done(handle: 0))
            case .finish:
                forgetAll()
                if settings.installsGuard { Guard.remove(settings.guardRules) }
                try reply(.done(handle: 0))
                return false
            }
        } catch {
            if case .refused(let why) = error { logger.warning("request refused", metadata: ["reason": "\(why)"]) }
            try? channel.send(AdopterReply.failed(error).encoded)
        }
        return true
    }

    private func admit(_ state: ConnectionState) throws(AdoptionFailure) {
        let origin = Endpoint(state.key.server, port: state.key.serverPort)
        guard settings.guardRules.services.contains(where: { $0.contains(origin) }) else {
            throw .refused("\(origin) is no configured origin")
        }
        guard sockets.count < settings.uncommittedLimit else { throw .refused("too many uncommitted sockets") }
    }

    private mutating func keep(_ descriptor: CInt, _ kind: Held.Kind) throws(AdoptionFailure) {
        let handle = freeHandle()
        sockets[handle] = Held(descriptor: descriptor, kind: kind)
        try reply(.done(handle: handle), passing: descriptor)
    }

    /// Of sockets that are handed in, only those at a catalogued origin's address are touched.
    private mutating func suspend(_ passed: CInt?, isQuiet: Bool) throws(AdoptionFailure) {
        guard let passed, let local = Endpoint(localOf: passed),
            settings.guardRules.services.contains(where: { $0.contains(local) })
        else { throw .refused("this socket is not at a configured origin's address") }
        guard sockets.count < settings.uncommittedLimit else { throw .refused("too many uncommitted sockets") }
        let own = dup(passed)
        guard own >= 0 else { throw AdoptionFailure(SystemFailure("dup")) }
        let state: SuspendedSocket
        do throws(AdoptionFailure) { state = try adopter.mute(own, isQuiet: isQuiet) } catch {
            close(own)
            throw error
        }
        let handle = freeHandle()
        sockets[handle] = Held(descriptor: own, kind: .suspended)
        try reply(.suspended(handle: handle, state))
    }

    /// Nobody but the serving process can be at fault when this fails: it is not served any more.
    private mutating func reply(_ reply: AdopterReply, passing descriptor: CInt? = nil) throws(AdoptionFailure) {
        do throws(SystemFailure) { try channel.send(reply.encoded, passing: descriptor) } catch {
            isDeaf = true
            throw .system(error)
        }
    }

    private func held(_ handle: UInt32, _ kinds: Set<Held.Kind>) throws(AdoptionFailure) -> Held {
        guard let held = sockets[handle], kinds.contains(held.kind) else {
            throw .refused("there is no socket \(handle) of that kind")
        }
        return held
    }

    private mutating func take(_ handle: UInt32, _ kinds: Set<Held.Kind>) throws(AdoptionFailure) -> CInt {
        let held = try held(handle, kinds)
        sockets[handle] = nil
        return held.descriptor
    }

    private mutating func freeHandle() -> UInt32 {
        while sockets[nextHandle] != nil || nextHandle == 0 { nextHandle &+= 1 }
        defer { nextHandle &+= 1 }
        return nextHandle
    }

    private mutating func forgetAll() {
        for held in sockets.values { adopter.forget(held.descriptor) }
        sockets.removeAll()
    }
}
