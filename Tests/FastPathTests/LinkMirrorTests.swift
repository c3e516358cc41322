import CDPDKShim
import FastPath
import Testing

@Suite struct LinkMirrorTests {
    private typealias Order = LinkMirror.Order

    /// Both links up at the start; a tick is a second, and a link may take 10 to come up.
    private func mirror() -> LinkMirror {
        var mirror = LinkMirror(now: 0, patience: 10)
        #expect(mirror.observe(clientHasLink: true, serverHasLink: true, now: 0).isEmpty)
        return mirror
    }

    @Test(arguments: LinkSide.allCases)
    func theOtherSideFollowsDownAndUp(side: LinkSide) {
        var mirror = mirror()
        func observe(_ own: Bool, _ other: Bool, _ now: UInt64) -> [Order] {
            mirror.observe(
                clientHasLink: side == .client ? own : other, serverHasLink: side == .client ? other : own, now: now)
        }
        #expect(observe(false, true, 1) == [Order(side: side.other, up: false)])
        // The other side has no link now because it was set down: nothing follows from that.
        #expect(observe(false, false, 2).isEmpty)
        #expect(mirror.state(of: side) == .down && mirror.state(of: side.other) == .held)
        #expect(observe(true, false, 3) == [Order(side: side.other, up: true)])
        #expect(observe(true, false, 9).isEmpty, "a link takes its time to come up")
        #expect(observe(true, true, 10).isEmpty)
        #expect(mirror.state(of: side) == .up && mirror.state(of: side.other) == .up)
    }

    @Test func aLinkThatDoesNotComeBackTakesTheOtherDown() {
        var mirror = mirror()
        #expect(mirror.observe(clientHasLink: false, serverHasLink: true, now: 1) == [Order(side: .server, up: false)])
        #expect(mirror.observe(clientHasLink: true, serverHasLink: false, now: 2) == [Order(side: .server, up: true)])
        #expect(mirror.observe(clientHasLink: true, serverHasLink: false, now: 11).isEmpty)
        #expect(mirror.observe(clientHasLink: true, serverHasLink: false, now: 12) == [Order(side: .client, up: false)])
        #expect(mirror.observe(clientHasLink: false, serverHasLink: true, now: 50) == [Order(side: .client, up: true)])
        #expect(mirror.observe(clientHasLink: true, serverHasLink: true, now: 51).isEmpty)
    }

    @Test func bothSidesMayLoseTheirLinksAtOnce() {
        var mirror = mirror()
        #expect(mirror.observe(clientHasLink: false, serverHasLink: false, now: 1).isEmpty)
        #expect(mirror.observe(clientHasLink: true, serverHasLink: false, now: 2) == [Order(side: .client, up: false)])
        #expect(mirror.observe(clientHasLink: false, serverHasLink: true, now: 3) == [Order(side: .client, up: true)])
        #expect(mirror.observe(clientHasLink: true, serverHasLink: true, now: 4).isEmpty)
    }

    @Test func linksMayTakeTheirTimeAtTheStart() {
        var mirror = LinkMirror(now: 0, patience: 10)
        #expect(mirror.observe(clientHasLink: false, serverHasLink: false, now: 0).isEmpty)
        #expect(mirror.observe(clientHasLink: false, serverHasLink: true, now: 9).isEmpty)
        #expect(mirror.observe(clientHasLink: false, serverHasLink: true, now: 10) == [Order(side: .server, up: false)])
    }

    /// Every sequence of six looks: with both cables in, both links come up in the end, whatever happened before.
    @Test func nothingStaysDownForEver() {
        for history in 0..<(1 << 12) {
            var mirror = LinkMirror(now: 0, patience: 2)
            var isSetUp = [true, true]
            var now: UInt64 = 0
            func look(_ cables: [Bool]) {
                now += 1
                let orders = mirror.observe(
                    clientHasLink: cables[0] && isSetUp[0], serverHasLink: cables[1] && isSetUp[1], now: now)
                for order in orders { isSetUp[order.side.rawValue] = order.up }
            }
            for step in 0..<6 { look([history >> (2 * step) & 1 == 0, history >> (2 * step + 1) & 1 == 0]) }
            for _ in 0..<4 { look([true, true]) }
            #expect(isSetUp == [true, true], "history \(history)")
            #expect(mirror.state(of: .client) == .up && mirror.state(of: .server) == .up, "history \(history)")
        }
    }

    @Test func aDriverThatCannotIsAskedOnce() {
        var mirror = mirror()
        let orders = mirror.observe(clientHasLink: false, serverHasLink: true, now: 1)
        #expect(orders == [Order(side: .server, up: false)])
        mirror.refuse(orders[0])
        #expect(mirror.state(of: .server) == .up)
        for now in 2..<40 {
            #expect(mirror.observe(clientHasLink: now % 3 == 0, serverHasLink: true, now: UInt64(now)).isEmpty)
        }
        // Its own link still counts.
        #expect(mirror.observe(clientHasLink: true, serverHasLink: true, now: 40).isEmpty)
        #expect(mirror.observe(clientHasLink: true, serverHasLink: false, now: 41) == [Order(side: .client, up: false)])
    }
}

extension WorkerTests {
    /// Through a real driver; ring ports have a link that can be set.
    @Test func portLinksAreMirrored() {
        let client = Bench.ports[2].number
        let server = Bench.ports[3].number
        var links = PortLinks(client: [client], server: [server], now: 0)
        #expect(links.look(now: 0).isEmpty)
        #expect(shim_port_set_link(client, false) == 0)
        #expect(links.look(now: 1) == [.link(.client, isUp: false), .mirrored(.server, isUp: false)])
        #expect(!shim_port_link_is_up(server))
        #expect(links.look(now: 2).isEmpty)
        #expect(shim_port_set_link(client, true) == 0)
        #expect(links.look(now: 3) == [.link(.client, isUp: true), .mirrored(.server, isUp: true)])
        #expect(shim_port_link_is_up(server))
        #expect(links.look(now: 4).isEmpty)
    }
}
