import Adoption
import CRTP
import Testing
import Wire

@Suite struct DatagramSiteTests {
    private func site(_ origins: [String], _ hosts: [String], _ server: String) -> Site {
        Site(
            origins: origins.map { ServicePrefix($0)! }, hosts: hosts.map { HostPattern($0)! },
            content: .datagrams(DatagramSite(server: Endpoint(server)!)))
    }

    private func transfer(_ name: String, _ application: Application = .quic, server: String = "10.0.0.80") -> Transfer
    {
        let address = IPAddress(server)!
        return Transfer(
            connection: ConnectionState(
                key: FlowKey(
                    client: IPAddress(address.isV4 ? "10.0.0.1" : "fd00::1")!, clientPort: 4_000, server: address,
                    serverPort: application == .dns ? 53 : 443), psn: SequenceNumber(0), pan: SequenceNumber(0),
                clientWindow: 0, serverWindowEdge: SequenceNumber(0),
                options: NegotiatedOptions(clientMSS: 0, serverMSS: 0)), request: Array(name.utf8),
            application: application)
    }

    private func judge(_ transfer: Transfer) throws -> TransferJudgement {
        var document = site(["10.0.0.80:443", "10.0.0.80:53"], ["tcp.example.org"], "10.0.0.11:1")
        document.content = .relay(RelaySite(target: .unix("/run/x")))
        let sites = [
            document, site(["10.0.0.80:443", "10.0.0.80:53"], ["*.example.org"], "10.0.0.11:4433"),
            site(["[fd00::80]:443"], ["six.example.org"], "[fd00::11]:4433"),
        ]
        return TransferJudgement(transfer, try Catalogue(sites))
    }

    @Test func theNameAndTheOriginDecide() throws {
        #expect(try judge(transfer("WWW.example.org")) == .take)
        #expect(try judge(transfer("www.example.org", .dns)) == .take)
        #expect(try judge(transfer("six.example.org", server: "fd00::80")) == .take)
        #expect(try judge(transfer("www.example.com")) == .refuse(.policy))
        #expect(try judge(transfer("www.example.org", server: "10.0.0.81")) == .refuse(.policy))
        #expect(try judge(transfer("www.example.org", server: "fd00::80")) == .refuse(.policy))
        #expect(try judge(transfer("")) == .refuse(.policy))
        #expect(try judge(transfer(String(repeating: "a", count: 256))) == .refuse(.policy))
        var cut = transfer("www.example.org")
        cut.isTruncated = true
        #expect(try judge(cut) == .refuse(.policy))
    }

    @Test func aConnectionOverTCPIsNotForAServerOverUDP() throws {
        let catalogue = try Catalogue([site(["10.0.0.80:443"], ["*"], "10.0.0.11:4433")])
        let question = CatalogueQuestion(
            origin: Endpoint("10.0.0.80:443")!, host: "www.example.org", target: [], application: .tls,
            hasCredentials: false)
        #expect(catalogue.answer(question) == .refused(.notFound))
        #expect(Catalogue.services([site(["10.0.0.80:443"], ["*"], "10.0.0.11:4433")]) == [])
    }

    @Test func nothingIsKeptOfWhatIsNotAdopted() {
        var ledger = TransferLedger()
        let director = Endpoint("10.0.0.2:7000")!
        ledger.receive(Frame(.transfer(transfer("a.example.org")), transaction: 5), from: director, now: 0)
        #expect(ledger.connections == 1)
        let keepsSocket = ledger.decided(1, nil, now: 10)
        #expect(!keepsSocket)
        #expect(ledger.connections == 0 && ledger.uncommitted == 0 && ledger.unsettled == 0)
        ledger.actions = []
        ledger.receive(Frame(.transfer(transfer("a.example.org")), transaction: 5, attempt: 1), from: director, now: 20)
        #expect(ledger.actions == [.send(Frame(.transferACK, transaction: 5, attempt: 1), to: director)])
        let cancel = Terminate(cause: .late, transfer: 5, psn: SequenceNumber(0))
        ledger.actions = []
        ledger.receive(Frame(.terminate(cancel), transaction: 5), from: director, now: 30)
        #expect(ledger.actions == [.send(Frame(.terminateResponse, transaction: 5), to: director)])
    }

    @Test func theFilterTranslatesWithinEachFamily() {
        let sites = [
            site(["10.0.0.80:443", "[fd00::80]:443"], ["*"], "10.0.0.11:4433"),
            site(["[fd00::80]:443", "any:53"], ["*"], "[fd00::11]:5353"),
        ]
        let servers = Catalogue.datagramServers(sites)
        let rules = GuardRules(
            instance: "x", services: [], interfaces: ["eth0"], uncommittedMark: 1, deliveryMark: 2, routingTable: 300,
            datagramServers: servers
        ).installation
        let lines = rules.split(separator: "\n").map { $0.drop { $0 == " " } }.filter { $0.contains("dnat") }
        #expect(
            lines.filter { !$0.hasPrefix("type") } == [
                "ip daddr 10.0.0.80/32 udp dport 443 counter dnat ip to 10.0.0.11:4433",
                "ip6 daddr fd00::80/128 udp dport 443 counter dnat ip6 to [fd00::11]:5353",
                "meta nfproto ipv6 udp dport 53 counter dnat ip6 to [fd00::11]:5353",
            ])
        let without = GuardRules(instance: "x", services: [], uncommittedMark: 1, deliveryMark: 2, routingTable: 300)
        #expect(!without.installation.contains("nat"))
    }
}
