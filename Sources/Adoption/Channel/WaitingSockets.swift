import Glibc

/// The sockets of uncommitted adoptions, ready for poll(2) together with the loop's own descriptors. Adding, removing
/// and finding are constant in time; waiting is linear in the sockets, which live for a round trip each.
struct WaitingSockets {
    private var entries: [pollfd] = []
    private var numbers: [UInt64] = []
    private var places: [UInt64: Int] = [:]
    /// The loop's own descriptors stand before these.
    private var own = 0
    private(set) var isPipeReady = false
    /// No more connections can be adopted. Told once.
    private(set) var isAdopterGone = false

    var count: Int { numbers.count }

    mutating func add(_ number: UInt64, _ descriptor: CInt) {
        places[number] = numbers.count
        numbers.append(number)
        entries.append(pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0))
    }

    mutating func remove(_ number: UInt64) -> CInt? {
        guard let place = places.removeValue(forKey: number) else { return nil }
        let descriptor = entries[own + place].fd
        let last = numbers.removeLast()
        let lastEntry = entries.removeLast()
        if last != number {
            numbers[place] = last
            entries[own + place] = lastEntry
            places[last] = place
        }
        return descriptor
    }

    var all: [(number: UInt64, descriptor: CInt)] {
        zip(numbers, entries.dropFirst(own)).map { ($0, $1.fd) }
    }

    mutating func removeAll() -> [(number: UInt64, descriptor: CInt)] {
        let all = all
        for (number, _) in all { _ = remove(number) }
        return all
    }

    /// `adopter` is readable when it has come to its end; nil or -1 for one that does not.
    mutating func poll(pipe: CInt, adopter: CInt?, sockets: [DatagramSocket], timeoutMilliseconds: CInt) {
        if own == 0 {
            let descriptors = [pipe, adopter ?? -1] + sockets.map(\.descriptor)
            let first = descriptors.map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
            entries.insert(contentsOf: first, at: 0)
            own = first.count
        }
        let ready = Glibc.poll(&entries, nfds_t(entries.count), timeoutMilliseconds)
        if ready <= 0 {
            for index in entries.indices { entries[index].revents = 0 }
        }
        isPipeReady = entries[0].revents != 0
        isAdopterGone = entries[1].revents != 0
        // poll(2) passes over negative descriptors: the end is not told again and again.
        if isAdopterGone { entries[1].fd = -1 }
    }

    /// Those on which something has happened. They stay until they are removed.
    func takeReady() -> [(UInt64, CInt)] {
        var ready: [(UInt64, CInt)] = []
        for (place, number) in numbers.enumerated() where entries[own + place].revents != 0 {
            ready.append((number, entries[own + place].fd))
        }
        return ready
    }
}
