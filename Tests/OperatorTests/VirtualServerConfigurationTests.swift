import Control
import Operator
import Testing
import Wire

/// `virtual-servers` of a director's file: what is read, and what is said of what is wrong.
@Suite struct VirtualServerConfigurationTests {
    private func load(_ more: String) -> LoadedConfiguration {
        let text = """
            ports:
              client: ["net_af_xdp0,iface=a"]
              server: ["net_af_xdp1,iface=b"]
            virtual-servers:

            """
        return LoadedConfiguration.parse(text + more, name: "demo.yaml")
    }

    /// From line 5 on.
    private func check(_ entries: String) -> [String] { load(entries).problems.map(\.description) }

    private func good(
        _ name: String = "www", _ address: String = "203.0.113.80:80", origin: String = "10.0.0.80:80",
        _ more: String = ""
    ) -> String {
        "  - { name: \(name), address: \"\(address)\", origins: [{ name: o1, address: \"\(origin)\" }]\(more) }\n"
    }

    @Test func whatAFileSaysIsRead() throws {
        let entry = """
              - name: www
                address: "203.0.113.80:80"
                origins:
                  - { name: o1, address: "10.0.0.80:80" }
                  - { name: o2, address: "10.0.0.81:8080", mac: "02:00:00:00:00:81" }
                window: 5000
                maximum-segment: 1300
                options: [sack, timestamps]
                check: { interval: 500ms, timeout: 200ms, rise: 1, fall: 5 }
            """
        let loaded = load(entry)
        #expect(loaded.problems.map(\.description) == [])
        let server = try #require(loaded.configuration?.virtualServers.first)
        #expect(server.name == "www" && server.address == Endpoint("203.0.113.80:80"))
        #expect(server.origins.map(\.name) == ["o1", "o2"])
        #expect(server.origins.map(\.address) == [Endpoint("10.0.0.80:80"), Endpoint("10.0.0.81:8080")])
        #expect(server.origins.map(\.mac) == [nil, MACAddress("02:00:00:00:00:81")])
        #expect(server.window == 5_000 && server.maximumSegment == 1_300 && server.options == [.sack, .timestamps])
        #expect(server.check.intervalMicroseconds == 500_000 && server.check.timeoutMicroseconds == 200_000)
        #expect(server.check.rise == 1 && server.check.fall == 5)
    }

    @Test func whatItDoesNotSayIsTheDefault() throws {
        let loaded = load(good() + good("w6", "[2001:db8::80]:80", origin: "[2001:db8:1::80]:80"))
        #expect(loaded.problems.map(\.description) == [])
        let server = try #require(loaded.configuration?.virtualServers.first)
        var expected = DirectorConfiguration.VirtualServer(name: "www", address: server.address)
        expected.origins = server.origins
        #expect(server == expected)
        #expect(loaded.configuration?.virtualServers.count == 2)
    }

    @Test func theWindowIsWhatIsHeld() throws {
        let head = "workers: { head-limit: 8KiB }\n"
        #expect(load(good() + head).configuration?.virtualServers[0].window == 8_192)
        #expect(
            check(good(", window: 9000") + head) == [
                "demo.yaml:5:104: 'window' (9000) is more than 'workers.head-limit' (8192): clients could send what nobody "
                    + "holds: lower 'window' to at most 8192, or raise 'head-limit'"
            ])
    }

    private func good(_ more: String) -> String { good("www", "203.0.113.80:80", origin: "10.0.0.80:80", more) }

    @Test func addressesThatNobodyCanDial() {
        #expect(
            check(good("www", "203.0.113.80:0")) == [
                "demo.yaml:5:27: 203.0.113.80:0 is not an address and port that anybody could dial: write the address of a "
                    + "host and a port of at least 1"
            ])
        #expect(check(good("www", "0.0.0.0:80")).count == 1)
        #expect(check(good("www", "239.1.1.1:80")).count == 1)
        #expect(check(good(origin: "10.0.0.80:0")).count == 1)
    }

    @Test func familiesMustMatch() {
        #expect(
            check(good(origin: "[2001:db8::80]:80")) == [
                "demo.yaml:5:56: origin 'o1' ([2001:db8::80]:80) and its virtual server (203.0.113.80:80) are of different "
                    + "families: make a virtual server for each family"
            ])
    }

    @Test func whatStandsTwice() {
        #expect(
            check(good() + good("www", "203.0.113.81:80", origin: "10.0.0.81:80")) == [
                "demo.yaml:6:5: virtual server 'www' stands here again; the first is in line 5: give it another name"
            ])
        #expect(
            check(good() + good("w2", origin: "10.0.0.81:80")) == [
                "demo.yaml:6:5: virtual server 'w2' has the address and port of 'www' in line 5: let each address and port "
                    + "stand once"
            ])
        #expect(
            check(good() + good("w2", "203.0.113.81:80")) == [
                "demo.yaml:6:55: origin 'o1' has the address and port of 'o1' of 'www' in line 5: let it listen on another "
                    + "port for each virtual server"
            ])
        #expect(
            check(good() + good("w2", "203.0.113.81:80", origin: "203.0.113.80:8080")) == [
                "demo.yaml:6:55: origin 'o1' has the address of the virtual server 'www' in line 5, which is the director's "
                    + "own: write the origin's own address"
            ])
    }

    @Test func withoutOriginsThereIsNobody() {
        let remedy = "add origins: [{ name: o1, address: \"10.0.0.80:80\" }]"
        for origins in ["", ", origins: []"] {
            let problems = check("  - { name: www, address: \"203.0.113.80:80\"\(origins) }\n")
            #expect(problems.count == 1 && problems[0].hasSuffix(remedy), "\(problems)")
        }
    }

    @Test func checks() {
        #expect(check(good(", check: { interval: 300ms }")) == [], "the timeout goes with it")
        #expect(
            check(good(", check: { interval: 300ms, timeout: 1s }")) == [
                "demo.yaml:5:131: a check could take 1s, and the next one is due after 300ms: lower 'timeout' to at most "
                    + "300ms, or raise 'interval'"
            ])
        #expect(
            check(good(", check: { interval: 0 }")) == [
                "demo.yaml:5:56: origin 'o1' is not checked, so nobody finds its Ethernet address: add its 'mac', or let "
                    + "'check.interval' be longer than 0"
            ])
        #expect(check(good(", check: { interval: 1ms }")).count == 1)
        #expect(check(good(", check: { rise: 0 }")).count == 1)
        #expect(check(good(", options: [fastopen]")).count == 1)
    }

    @Test func bounds() {
        let servers = (1...65).map { good("w\($0)", "203.0.113.\($0):80", origin: "10.0.0.\($0):80") }
        #expect(
            check(servers.joined()) == [
                "demo.yaml:5:3: 65 virtual servers are named; at most 64 are possible: remove some, or use another director"
            ])
        let origins = (1...255).map { "{ name: o\($0), address: \"10.0.0.1:\($0)\" }" }.joined(separator: ", ")
        let server = "  - { name: www, address: \"203.0.113.80:80\", origins: [\(origins)] }\n"
        #expect(check(server) == [])
        let proxy = "proxies: [{ name: p1, address: \"10.9.0.11:7443\" }]\n"
        #expect(
            check(server + proxy).contains(
                "demo.yaml:5:3: 1 proxies and 255 origins are named; together at most 255 are possible: remove some, or use "
                    + "another director"))
    }

    @Test func theDirectorsOwnAddressIsNoVirtualOne() {
        let crtp = "crtp: { via: server-port, listen: \"203.0.113.80:7443\" }\n"
        #expect(
            check(good() + crtp) == [
                "demo.yaml:5:5: virtual server 'www' has the address of 'crtp.listen': choose another address for one of them"
            ])
    }
}
