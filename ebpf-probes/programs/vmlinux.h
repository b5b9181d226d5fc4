/* The kernel's types, as far as the programs use them. Only names count: where a field lies is looked up in the running kernel's own
 * description (BTF) when a program is loaded. */
#ifndef PROBEOPS_VMLINUX_H
#define PROBEOPS_VMLINUX_H

typedef unsigned char __u8;
typedef unsigned short __u16;
typedef unsigned int __u32;
typedef unsigned long long __u64;
typedef signed int __s32;
typedef signed long long __s64;
typedef __u16 __be16;
typedef __u32 __be32;

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct in6_addr {
	union {
		__u8 u6_addr8[16];
	} in6_u;
};

struct ns_common {
	unsigned int inum;
};

struct net {
	struct ns_common ns;
};

typedef struct {
	struct net *net;
} possible_net_t;

struct sock_common {
	__be32 skc_daddr;
	__be32 skc_rcv_saddr;
	__be16 skc_dport;
	__u16 skc_num;
	unsigned short skc_family;
	unsigned char skc_state;
	unsigned long skc_flags;
	possible_net_t skc_net;
	struct in6_addr skc_v6_daddr;
	struct in6_addr skc_v6_rcv_saddr;
};

struct sock {
	struct sock_common __sk_common;
	__u16 sk_protocol;
	int sk_err;
};

struct mm_struct {
	unsigned long arg_start;
	unsigned long arg_end;
};

struct inet_sock {
	__be16 inet_sport;
};

struct net_device {
	char name[16];
	int ifindex;
	possible_net_t nd_net;
};

struct task_struct {
	int pid;
	int tgid;
	unsigned int __state;
	int exit_code;
	struct task_struct *real_parent;
	struct mm_struct *mm;
	char comm[16];
};

/* Since 6.8 with this field; then the tracepoint hands out the task itself. */
struct trace_event_raw_mark_victim {
	unsigned int uid;
};

/* The same before 5.14, where its state had another name. */
struct task_struct___before_5_14 {
	long state;
};

/* Since 5.17, as the last argument of kfree_skb. */
enum skb_drop_reason { SKB_NOT_DROPPED_YET = 0 };

struct sk_buff {
	struct net_device *dev;
	struct sock *sk;
	char cb[48];
	unsigned int len;
	unsigned int data_len;
	__be16 protocol;
	__u16 transport_header;
	__u16 network_header;
	__u16 mac_header;
	unsigned int end;
	unsigned char *head;
	unsigned char *data;
};

struct skb_shared_info {
	unsigned short gso_segs;
};

struct tcp_skb_cb {
	__u16 tcp_gso_segs;
};

struct minmax_sample {
	__u32 t;
	__u32 v;
};

struct minmax {
	struct minmax_sample s[3];
};

struct tcp_sock {
	__u64 bytes_received;
	__u64 bytes_sent;
	__u64 bytes_retrans;
	__u32 srtt_us;
	struct minmax rtt_min;
	__u32 snd_cwnd;
	__u32 total_retrans;
};

struct gendisk {
	int major;
	int first_minor;
	char disk_name[32];
};

/* Its disk since 5.15. */
struct request_queue {
	struct gendisk *disk;
};

struct request {
	struct request_queue *q;
	unsigned int cmd_flags;
	unsigned int __data_len;
};

/* The same before 5.17. */
struct request___before_5_17 {
	struct gendisk *rq_disk;
};

struct super_block {
	unsigned int s_dev;
};

struct inode {
	unsigned long i_ino;
	struct super_block *i_sb;
};

struct path {
	void *dentry;
};

struct file {
	struct path f_path;
	struct inode *f_inode;
};

struct vm_area_struct {
	unsigned long vm_start;
	unsigned long vm_end;
	unsigned long vm_flags;
	unsigned long vm_pgoff;
	struct file *vm_file;
};

struct bpf_iter_meta {
	void *seq;
	__u64 seq_num;
};

struct linux_binprm {
	const char *filename;
};

/* Registers of whoever called the kernel, by architecture. */
struct pt_regs {
	unsigned long ip;
};

struct pt_regs___x86_64 {
	unsigned long dx;
	unsigned long si;
	unsigned long di;
	unsigned long orig_ax;
	unsigned long cs;
};

struct pt_regs___arm64 {
	__u64 regs[31];
	__u64 pstate;
	__u64 orig_x0;
	int syscallno;
};

#pragma clang attribute pop

#endif
