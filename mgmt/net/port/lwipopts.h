/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Options of lwIP (its opt.h lists them all): one thread, no operating system below, IPv4 and IPv6
 * over Ethernet, TCP and UDP by callbacks. All memory is in static pools, so that what the network
 * sends can never take more than is set here.
 */
#pragma once

#define NO_SYS                         1
#define SYS_LIGHTWEIGHT_PROT           0
#define LWIP_NETCONN                   0
#define LWIP_SOCKET                    0
#define LWIP_TIMERS                    1

#define MEM_ALIGNMENT                  8
#define MEM_SIZE                       (160 * 1024)
#define MEMP_NUM_PBUF                  64
#define MEMP_NUM_RAW_PCB               4
#define MEMP_NUM_UDP_PCB               8
#define MEMP_NUM_TCP_PCB               12
#define MEMP_NUM_TCP_PCB_LISTEN        4
#define MEMP_NUM_TCP_SEG               128
#define MEMP_NUM_REASSDATA             8
#define MEMP_NUM_ARP_QUEUE             16
#define MEMP_NUM_ND6_QUEUE             16
#define PBUF_POOL_SIZE                 256 /* the windows of some connections at once */
#define PBUF_POOL_BUFSIZE              1600
#define IP_REASS_MAX_PBUFS             32

#define LWIP_ARP                       1
#define ETHARP_SUPPORT_VLAN            0
#define LWIP_IPV4                      1
#define LWIP_ICMP                      1
#define LWIP_RAW                       1
#define LWIP_DHCP                      1
#define DHCP_DOES_ARP_CHECK            0
#define LWIP_DHCP_DOES_ACD_CHECK       0
#define LWIP_AUTOIP                    0
#define LWIP_IGMP                      0
#define LWIP_DNS                       1
#define DNS_TABLE_SIZE                 4
#define DNS_MAX_NAME_LENGTH            254
#define DNS_MAX_SERVERS                3
#define LWIP_DHCP_MAX_DNS_SERVERS      2

#define LWIP_IPV6                      1
#define IPV6_FRAG_COPYHEADER           1 /* pointers are longer than the header */
#define LWIP_IPV6_MLD                  1
#define LWIP_IPV6_AUTOCONFIG           1
#define LWIP_IPV6_DHCP6                0
#define LWIP_IPV6_SEND_ROUTER_SOLICIT  1
#define LWIP_ND6_RDNSS_MAX_DNS_SERVERS 1
#define LWIP_IPV6_NUM_ADDRESSES        3
#define MEMP_NUM_MLD6_GROUP            8

#define LWIP_UDP                       1
#define LWIP_TCP                       1
#define LWIP_ALTCP                     0
#define TCP_MSS                        1460
#define TCP_WND                        (44 * TCP_MSS)
#define TCP_SND_BUF                    (22 * TCP_MSS)
#define TCP_SND_QUEUELEN               88
#define LWIP_TCP_SACK_OUT              1
#define LWIP_WND_SCALE                 0
#define TCP_QUEUE_OOSEQ                1
#define TCP_LISTEN_BACKLOG             1
#define LWIP_TCP_KEEPALIVE             1

#define LWIP_NETIF_HOSTNAME            1
#define LWIP_NETIF_STATUS_CALLBACK     1
#define LWIP_NETIF_LINK_CALLBACK       1
#define LWIP_SINGLE_NETIF              0
#define LWIP_NETIF_LOOPBACK            1 /* our own addresses answer us */
#define LWIP_HAVE_LOOPIF               1
#define LWIP_LOOPBACK_MAX_PBUFS        16
#define LWIP_NETIF_TX_SINGLE_PBUF      0
#define LWIP_CHECKSUM_CTRL_PER_NETIF   0

#define LWIP_STATS                     1
#define LWIP_STATS_DISPLAY             0
#define LWIP_STATS_LARGE               1
#define MIB2_STATS                     0

/* Nobody guesses where our TCP sequences begin (RFC 6528). */
#define LWIP_HOOK_TCP_ISN(local_ip, local_port, remote_ip, remote_port) net_random()
