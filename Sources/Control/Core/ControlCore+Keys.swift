public import CRTP

/// Why an operator's wish is not fulfilled, with what to do.
public struct OperatorRefusal: Error, Equatable, Sendable, CustomStringConvertible {
    public let description: String
    public init(_ description: String) { self.description = description }
}

/// The keys that the channels use, and where they come from.
package struct HeldKeys: Sendable {
    package var ring: KeyRing
    package var files: [UInt8: KeyFile]
    /// The current one's predecessor since the director's start.
    package var previous: UInt8?
}

// Pre-shared keys, changed while traffic runs: each channel makes a session with the new key beside the one in force.
extension ControlCore {
    /// `batonctl keys`.
    public func keyStatus() -> KeysStatus {
        var status = KeysStatus()
        let ring = keys.ring
        let previous = keys.previous.flatMap { ring.keys[$0] == nil ? nil : $0 }
        status.current = Int(ring.current)
        status.previous = previous.map(Int.init)
        status.next = ring.next.map(Int.init)
        status.keys = ring.held.map { id in
            var row = KeyStatus()
            row.key = Int(id)
            row.role = id == ring.current ? "current" : id == previous ? "previous" : id == ring.next ? "next" : "held"
            row.file = keys.files[id]?.path ?? ""
            row.notBefore = keys.files[id]?.notBefore
            row.notAfter = keys.files[id]?.notAfter
            return row
        }
        status.channels = proxies.filter { $0.phase != .free }.map { proxy in
            var row = ChannelKeyStatus()
            row.proxy = proxy.configuration.name
            row.state = proxy.stateName
            row.key = proxy.channel.keyID.map(Int.init)
            row.sought = proxy.channel.soughtKeyID.map(Int.init)
            row.held = proxy.channel.heldByAgent.map(Int.init)
            return row
        }
        return status
    }

    /// Begins to use another key: `wanted`, or else the one after the current one.
    /// - Parameters:
    ///   - ring, files: Keys as they were just read; its `current` does not matter.
    ///   - isForced: Although agents that are up do not hold the key.
    ///   - seconds: Now, since 1970.
    public mutating func rotateKeys(
        _ ring: KeyRing, files: [UInt8: KeyFile], to wanted: UInt8?, isForced: Bool, seconds: Int64, now: UInt64
    ) throws(OperatorRefusal) {
        var ring = ring
        let current = keys.ring.current
        ring.current = current
        guard let chosen = wanted ?? ring.next else {
            throw OperatorRefusal(
                "there is no key after \(current): add one to crtp.keys, the agents' files first, or name one")
        }
        ring.current = chosen
        guard ring.keys[chosen] != nil else {
            let all = ring.held.map(String.init).joined(separator: ", ")
            throw OperatorRefusal("crtp.keys has no key \(chosen) that may be used; it has \(all)")
        }
        if let start = files[chosen]?.notBefore, start > seconds {
            throw OperatorRefusal("key \(chosen) may not be used for another \(start - seconds) s: see its not-before")
        }
        try checkKeys(ring)
        let lacking = proxies.filter { proxy in
            proxy.isUp && !proxy.channel.heldByAgent.isEmpty && !proxy.channel.heldByAgent.contains(chosen)
        }
        if !lacking.isEmpty, !isForced {
            let names = lacking.map(\.configuration.name).joined(separator: ", ")
            throw OperatorRefusal(
                "key \(chosen) is not held by \(names): give it to the agent there (crtp.keys, then SIGHUP) and try again"
            )
        }
        useKeys(ring, files: files, now: now)
    }

    /// An id is one key for ever: two ends that mean different ones would not understand each other.
    package func checkKeys(_ ring: KeyRing) throws(OperatorRefusal) {
        if let id = ring.contradiction(to: keys.ring) {
            throw OperatorRefusal("key \(id) is another one than it was: give the new key a number of its own")
        }
    }

    package mutating func useKeys(_ ring: KeyRing, files: [UInt8: KeyFile], now: UInt64) {
        let former = keys.ring.current
        keys.files = files
        configuration.crtp.keyFiles = files
        configuration.crtp.currentKey = ring.current
        if ring.current != former { keys.previous = former }
        keys.ring = ring
        renewGroup()
        renewHandOffs()
        for index in proxies.indices {
            proxies[index].channel.replaceKeys(ring, now: now)
            drainChannel(index, now: now)
        }
        log(.info, "keys changed") { _ in
            [("current", "\(ring.current)"), ("held", ring.held.map(String.init).joined(separator: ","))]
        }
    }
}
